"""The error reporters that the settings select: made, and flushed, one by one.

They are strangers' code. One that fails is logged, and stops neither the others nor a task.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..masking import mask_url

if TYPE_CHECKING:
    from ..plugins.registry import Registry
    from .base import ErrorReporter

logger = logging.getLogger("qcore.runtime")


def make_all(
    registry: Registry, settings: Mapping[str, dict[str, Any]], left_out: set[str]
) -> list[ErrorReporter]:
    """Return the reporters of ``Q_CLUSTER["error_reporter"]``.

    Args:
        registry: the installed plugins.
        settings: the name of each reporter, and its keyword arguments.
        left_out: the names of those that cannot be made; new ones are logged and added.
    """
    made = []
    for name, options in settings.items():
        if name in left_out:
            continue
        try:
            made.append(registry.load("error reporter", name)(**options))
        except Exception as error:  # noqa: BLE001 - it is a stranger's code
            left_out.add(name)
            reason = mask_url(str(error))
            logger.error("error reporter %r is left out: %s", name, reason)
    return made


def flush_all(reporters: Iterable[ErrorReporter], timeout: float) -> None:
    """Let each reporter send what is left, within so many seconds."""
    for reporter in reporters:
        try:
            reporter.flush(timeout)
        except Exception:  # it is the last to run
            name = type(reporter).__name__
            logger.exception("error reporter %s was not flushed", name)
