"""Database connections in processes that live long.

Django closes and opens connections around each web request; a cluster has no requests.
Here a connection stays open from task to task, whatever ``CONN_MAX_AGE`` says (with its
default of 0 each task would pay for a new one), and is checked after a pause.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.utils import timezone, translation

if TYPE_CHECKING:
    from .envelope import Task

logger = logging.getLogger("qcore.worker")

#: Seconds for which a PostgreSQL host may be silent: the least and the most. libpq
#: takes no time-out below two.
_SILENCE = (2.0, 15.0)
#: Seconds without a task after which a connection is checked before it is used: the
#: server, or something on the way to it, may have closed it.
_STALE = 1.0


def keep_open(lease: float) -> None:
    """Keep every connection of this process open until it breaks.

    Connections read these settings; none is made for it, for a driver that no task uses
    need not be installed here.

    A pool of PostgreSQL connections is not used: our threads keep one each, and Django
    refuses a pool whose connections are kept.

    Args:
        lease: seconds; a PostgreSQL host that has vanished is noticed in half of them.
    """
    for settings in connections.settings.values():
        settings["CONN_MAX_AGE"] = None
        settings["CONN_HEALTH_CHECKS"] = True
        if str(settings["ENGINE"]).endswith((".postgresql", ".postgis")):
            settings["OPTIONS"] = bounded(settings["OPTIONS"], lease)
            settings["OPTIONS"].pop("pool", None)


def bounded(options: Mapping[str, Any], lease: float) -> dict[str, Any]:
    """Return OPTIONS for PostgreSQL with which nobody waits for a dead network.

    libpq by itself waits for as long as the kernel does: a quarter of an hour for what
    was sent, two hours for a reply. A statement may take its time all the same: what
    is bounded is the silence of the other *host*, which answers while a server works.
    What the project sets, or leaves to a service file, is left alone.

    Args:
        options: of the project.
        lease: seconds.
    """
    if "service" in options:
        return dict(options)
    seconds = min(max(lease / 2, _SILENCE[0]), _SILENCE[1])
    own = {
        "connect_timeout": round(seconds),
        "keepalives_idle": max(1, round(seconds / 2)),
        "keepalives_interval": max(1, round(seconds / 4)),
        "keepalives_count": 2,
        "tcp_user_timeout": round(seconds * 1000),
    }
    return own | dict(options)


def close_all() -> None:
    """Close this thread's connections, so that a fork cannot inherit a socket."""
    connections.close_all()
    for connection in connections.all(initialized_only=True):
        # not in the stubs: PostgreSQL's, where a pool keeps what was closed
        close_pool = getattr(connection, "close_pool", None)
        if close_pool is not None:
            close_pool()


class Tidy:
    """Gives each task the Django that the first one had."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        _speak_default()  # it loads something, which the workers are to share

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
            # as reset_queries() does, which would look for all of them once more
            connection.queries_log.clear()
        _speak_default()
        self._last = time.monotonic()


def _speak_default() -> None:
    """Go back to the language and the time zone of the settings."""
    translation.deactivate()
    timezone.deactivate()


def _is_autocommit(connection: object) -> bool:
    """Whether a connection is in the mode that its settings ask for."""
    return (
        connection.connection is None  # type: ignore[attr-defined]
        or connection.autocommit == connection.settings_dict["AUTOCOMMIT"]  # type: ignore[attr-defined]
    )
