"""Database connections whose server neither answers nor closes them.

A server that is stopped, or a proxy that swallows what it gets, still has a host that
answers: no timeout of the network ends. Nobody can interrupt a thread that waits in a
driver. But another thread can close the socket below it, and then the driver raises an
error as after any lost connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from django.db.backends.signals import connection_created

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class HungConnections:
    """The connections that one thread opens from now on; another thread may cut them.

    Make it in the thread that opens the connections.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._opened: list[BaseDatabaseWrapper] = []
        connection_created.connect(self._note)

    def _note(self, connection: BaseDatabaseWrapper, **_: object) -> None:
        if threading.get_ident() == self._thread and connection not in self._opened:
            self._opened.append(connection)

    def cut(self) -> int:
        """Shut the sockets of the connections that are open; return how many there were.

        For any thread. A connection in a file, as of SQLite, has no socket: SQLite
        waits for locks, with a limit of its own.
        """
        return sum(_cut(wrapper.connection) for wrapper in self._opened.copy())


def _cut(connection: Any) -> bool:
    """Shut the socket of a driver's connection; return whether it had one that was open."""
    if connection is None:
        return False
    own = getattr(connection, "_sock", None)  # PyMySQL has no public way to its socket
    if isinstance(own, socket.socket):
        return _shut(own)
    try:
        number = connection.fileno()  # psycopg, psycopg2 and mysqlclient
        copy = os.dup(number)
    except Exception:  # noqa: BLE001 - closed, or a driver without sockets
        return False
    # where it was closed meanwhile, it raises: the number may be another's
    with socket.socket(fileno=copy) as own, contextlib.suppress(Exception):
        if connection.fileno() == number:
            return _shut(own)
    return False


def _shut(own: socket.socket) -> bool:
    try:
        own.shutdown(socket.SHUT_RDWR)
    except OSError:  # its other end has gone already
        return False
    return True
