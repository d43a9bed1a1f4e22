"""Notifications: PostgreSQL tells clusters at once that the ledger has news for them.

A notification (NOTIFY) wakes the listeners and has no content: the tables have it. So a
notification that is lost costs a second, after which clusters look by themselves. Clusters
on other databases only look by themselves.
"""

from __future__ import annotations

import logging
import select
import threading
import time
from typing import TYPE_CHECKING, Any

from ..masking import mask_url

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("qcore.control")

#: The channel of LISTEN and NOTIFY.
CHANNEL = "qcore_control"
#: Seconds between two attempts to listen.
_AGAIN = 30.0


def notify(connection: BaseDatabaseWrapper) -> None:
    """Wake every listener when the open transaction commits."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


class Listener:
    """Waits for notifications on the connection of one thread, which is idle meanwhile.

    Args:
        stopping: ends a wait where nobody can notify.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._listening: Any = None  # the driver's connection that listens
        self._not_before = 0.0  # monotonic

    def wait(self, connection: BaseDatabaseWrapper, seconds: float) -> None:
        """Wait for a notification, ``seconds`` at most."""
        driver = self._listen(connection)
        if driver is None:
            self._stopping.wait(seconds)
            return
        try:
            select.select([driver.fileno()], [], [], seconds)
            driver.pgconn.consume_input()
            while driver.pgconn.notifies() is not None:
                pass
        except Exception as error:  # noqa: BLE001 - a lost server says so in many ways
            self._give_up(error)
            connection.close_if_unusable_or_obsolete()
            self._stopping.wait(seconds)

    def _listen(self, connection: BaseDatabaseWrapper) -> Any:
        """Return the driver's connection, once it listens; None where none can."""
        if connection.vendor != "postgresql":
            return None
        driver: Any = connection.connection
        if driver is not None and driver is self._listening:
            return driver
        if time.monotonic() < self._not_before:
            return None
        try:
            connection.ensure_connection()
            if not hasattr(connection.connection, "pgconn"):
                return None  # psycopg2 has another way; they look every second
            with connection.cursor() as cursor:
                cursor.execute(f'LISTEN "{CHANNEL}"')
        except Exception as error:  # noqa: BLE001 - whatever it is, they look every second
            self._give_up(error)
            return None
        self._listening = connection.connection
        return self._listening

    def _give_up(self, error: Exception) -> None:
        self._listening = None
        self._not_before = time.monotonic() + _AGAIN
        logger.info("cannot listen for notifications: %s", mask_url(str(error)).strip())
