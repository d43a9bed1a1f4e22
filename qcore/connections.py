"""Database connections in processes that live long.

Django closes and opens connections around each web request; a cluster has no requests.
Here a connection stays open from task to task, whatever ``CONN_MAX_AGE`` says (with its
default of 0 each task would pay for a new one), and is checked after a pause.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.db import connections, reset_queries
from django.utils import timezone, translation

if TYPE_CHECKING:
    from .envelope import Task

logger = logging.getLogger("qcore.worker")

#: Seconds without a task after which a connection is checked before it is used: the
#: server, or something on the way to it, may have closed it.
_STALE = 1.0


def keep_open() -> None:
    """Keep every connection of this process open until it breaks.

    Connections read these settings; none is made for it, for a driver that no task uses
    need not be installed here.
    """
    for settings in connections.settings.values():
        settings["CONN_MAX_AGE"] = None
        settings["CONN_HEALTH_CHECKS"] = True


def close_all() -> None:
    """Close this thread's connections, so that a fork cannot inherit a socket."""
    connections.close_all()


class Tidy:
    """Gives each task the Django that the first one had."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def before(self) -> None:
        """Have connections checked that have not been used for a while."""
        if time.monotonic() - self._last < _STALE:
            return
        for connection in connections.all(initialized_only=True):
            # not in the stubs: the flag that Django itself resets for each request
            connection.health_check_done = False  # type: ignore[attr-defined]

    def after(self, task: Task) -> None:
        """Undo what a task may have left: transactions, broken connections, language."""
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block or not _is_autocommit(connection):
                logger.warning(
                    "%s id=%s left a transaction open on %r; rolled back",
                    task.func,
                    task.id,
                    connection.alias,
                )
                # closing is the rollback that works in every state
                connection.in_atomic_block = False
                connection.savepoint_ids.clear()
                connection.needs_rollback = False
                connection.close()
            else:
                connection.close_if_unusable_or_obsolete()
        reset_queries()
        translation.deactivate()
        timezone.deactivate()
        self._last = time.monotonic()


def _is_autocommit(connection: object) -> bool:
    """Whether a connection is in the mode that its settings ask for."""
    return (
        connection.connection is None  # type: ignore[attr-defined]
        or connection.autocommit == connection.settings_dict["AUTOCOMMIT"]  # type: ignore[attr-defined]
    )
