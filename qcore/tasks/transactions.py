"""Transactions: whether one is open that a task must wait for; asked before each send.

To ask Django for the connections of this thread costs as much as all the rest of sending a
task: its lookup asks each time whether an event loop runs, which raises an error where none
does. So what has ever been connected in this process is kept here, and Django is asked only
while a transaction is open on one of those connections.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class _Connected:
    """The connections of this process, of all its threads, that have ever been open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[ref[BaseDatabaseWrapper], ...] = ()
        self.is_complete = False

    def note(self, connection: BaseDatabaseWrapper, **_: object) -> None:
        """Add a connection; those whose threads have ended go."""
        with self._lock:
            others = [
                known for known in self._known if known() not in (None, connection)
            ]
            # a new tuple: another thread may be reading the old one
            self._known = (*others, ref(connection))

    def is_idle(self) -> bool:
        """Whether no transaction of Django is open in this process, in any thread."""
        for known in self._known:
            connection = known()
            if connection is not None and connection.in_atomic_block:
                return False
        return self.is_complete


_connected = _Connected()


def watch() -> None:
    """Note each connection from now on; called once Django's apps are there."""
    from django.db import connections
    from django.db.backends.signals import connection_created

    connection_created.connect(_connected.note, dispatch_uid="qcore transactions")
    for connection in connections.all(initialized_only=True):
        _connected.note(connection)
    _connected.is_complete = True


def open_transaction(database: str | None) -> str | None:
    """Return the alias of the database whose commit must be waited for; None: of none.

    Args:
        database: alias of the database that the broker writes to, if it is one: what is
            sent joins its transaction.
    """
    if _connected.is_idle():
        return None  # nearly always
    from django.db import connections

    waiting = None
    connection: Any
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            if connection.alias == database:
                return None  # the package joins this very transaction
            if waiting is None or connection.alias == "default":
                waiting = connection.alias
    return waiting
