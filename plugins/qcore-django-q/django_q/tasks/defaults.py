"""Arguments that the caller leaves to the settings."""

from __future__ import annotations

from typing import Any

from ..conf import Conf

#: The default of such an argument, for None and False say something.
UNSET: Any = object()


def cached_or_default(value: Any) -> Any:
    """Return where results are kept: as the caller says, else as ``Q_CLUSTER`` says."""
    return Conf.CACHED if value is UNSET else value


def sync_or_default(sync: Any) -> Any:
    """Return whether tasks run here: as the caller says, else as ``Q_CLUSTER`` says."""
    return Conf.SYNC if sync is UNSET else sync
