"""The ledger that runs are kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps

from qcore.errors import EnqueueError
from qcore.runtime import current

if TYPE_CHECKING:
    from qcore.runtime import LedgerPlace


def the_ledger(what: str) -> LedgerPlace:
    """Return the ledger of this thread.

    Args:
        what: needs it, for the error.

    Raises:
        EnqueueError: the project has none, or this app is not installed.
    """
    ledger = current.ledger
    if ledger is None or not apps.is_installed("qcore_flows"):
        raise EnqueueError(
            f"{what} needs 'qcore' and 'qcore_flows' in INSTALLED_APPS, with a database"
            " that can have the ledger. Add them and run: python manage.py migrate"
        )
    return ledger
