"""Database connections in processes that live long.

Django closes and opens connections around each web request; a cluster has no requests.
Here a connection stays open from task to task, whatever ``CONN_MAX_AGE`` says (with its
default of 0 each task would pay for a new one), and is checked before a task uses it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.signals import connection_created
from django.utils import translation

from .session_state import changes_session

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..envelope import Task

logger = logging.getLogger("qcore.worker")

#: Seconds for which a PostgreSQL host may be silent: the least and the most. libpq
#: takes no timeout below two.
_SILENCE = (2.0, 15.0)


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


def keep_no_statements() -> None:
    """Have no connection of this process remember its statements, from now on.

    With ``DEBUG = True`` Django keeps the last 9,000 of each connection, with all that
    was stored by them, until a request ends; here none does. Safe to call twice.
    """
    connection_created.connect(_forget_statements, dispatch_uid="qcore statements")


def _forget_statements(connection: BaseDatabaseWrapper, **_: object) -> None:
    connection.queries_log = deque(maxlen=0)


class Tidy:
    """Gives each task the connections that the first one had.

    Only those that have been open are looked at. To ask Django for all of them after
    each task took as many instructions as the task; most tasks use none, or one.

    A connection whose session a task has changed (see ``session``) is closed after it:
    the next task connects anew, and no other task pays for that.
    """

    def __init__(self) -> None:
        self._opened: list[BaseDatabaseWrapper] = []
        # aliases of the connections whose sessions have been changed
        self._changed: set[str] = set()
        connection_created.connect(self._note)
        # it loads something, which the workers are to share
        translation.deactivate()

    def _note(self, connection: BaseDatabaseWrapper, **_: object) -> None:
        # those of other threads are theirs
        if threading.current_thread() is not threading.main_thread():
            return
        if connection not in self._opened:
            self._opened.append(connection)
            connection.execute_wrappers.append(self._watch)
        # what Django itself says to a new session is no task's
        self._changed.discard(connection.alias)

    def _watch(
        self, execute: Any, sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Note whether a statement changes its session; called for each of them."""
        connection = context["connection"]
        if changes_session(sql):
            self._changed.add(connection.alias)
        return execute(sql, params, many, context)

    def after(self, task: Task) -> None:
        """Undo what a task may have left: transactions, broken connections."""
        for connection in self._opened:
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
            elif connection.alias in self._changed:
                logger.debug(
                    "%s id=%s changed its database session; the connection %r is closed",
                    task.func,
                    task.id,
                    connection.alias,
                )
                connection.close()
            elif connection.errors_occurred:
                connection.close_if_unusable_or_obsolete()
            # As before each request: whoever uses it next has it checked first. Not in
            # the stubs.
            connection.health_check_done = False  # type: ignore[attr-defined]
            # as reset_queries() does, which would look for all of them once more
            connection.queries_log.clear()
        if self._changed:
            self._changed.clear()


def _is_autocommit(connection: BaseDatabaseWrapper) -> bool:
    """Whether a connection is in the mode that its settings ask for."""
    return (
        connection.connection is None
        or connection.autocommit == connection.settings_dict["AUTOCOMMIT"]
    )
