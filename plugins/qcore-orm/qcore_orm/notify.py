"""LISTEN on PostgreSQL: an idle consumer wakes when a package is committed.

A notification may be lost (a connection pooler between transactions, a server that
restarts), so a pause never lasts longer than ``poll`` seconds: what was missed, or has
become visible by the clock, is found then.
"""

from __future__ import annotations

import logging
import select
import time
from typing import TYPE_CHECKING, Any

from qcore.conf import mask_url

from .waiting import Polling

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("qcore.orm")

#: Seconds between two attempts to listen; a consumer polls in the meantime.
RETRY_SECONDS = 30.0


def can_listen() -> bool:
    """Whether Django uses psycopg 3; psycopg2 users poll."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)


class Listener:
    """Waits on a connection of its own, which is made on the first pause.

    Args:
        connection: tells how to connect; it is not used itself, for a notification
            reaches a connection only between its transactions.
        channel: where ``PostgresStatements.insert`` tells of packages.
        poll: the longest pause in seconds.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, channel: str, poll: float
    ) -> None:
        self._template = connection
        self._channel = channel
        self._poll = poll
        self._polling = Polling(poll)
        self._wrapper: BaseDatabaseWrapper | None = None
        self._retry_at = 0.0
        self._complained = False

    def mark(self) -> None:
        # Also while the queue is busy, or the server would have to keep them.
        if self._wrapper is not None:
            self._guarded(self._wrapper, 0)

    def pause(self, seconds: float) -> None:
        if self._wrapper is not None:
            self._guarded(self._wrapper, min(seconds, self._poll))
        elif time.monotonic() < self._retry_at or not self._listen():
            self._polling.pause(seconds)
        # else: listening begins now, and what came before must be looked for

    def found(self) -> None:
        self._polling.found()

    def close(self) -> None:
        wrapper, self._wrapper = self._wrapper, None
        if wrapper is not None:
            wrapper.close()

    def _listen(self) -> bool:
        wrapper = self._template.copy()
        # A pool would count this connection, and hand it out still listening.
        wrapper.settings_dict["OPTIONS"].pop("pool", None)
        try:
            with wrapper.cursor() as cursor:
                cursor.execute(f'LISTEN "{self._channel}"')
        except Exception as error:
            # a driver's, or that of a wrapper of Django's: polling works in any case
            wrapper.close()
            self._give_up(error)
            return False
        self._wrapper = wrapper
        self._complained = False
        return True

    def _guarded(self, wrapper: BaseDatabaseWrapper, seconds: float) -> None:
        try:
            _receive(wrapper.connection, seconds)
        except Exception as error:
            # the server went away, and every way to say so means the same here
            self.close()
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if not self._complained:
            self._complained = True
            logger.warning(
                "cannot listen for packages, polling every %s s: %s",
                self._poll,
                mask_url(str(error)).strip(),
            )


def _receive(connection: Any, seconds: float) -> None:
    """Wait for notifications on a psycopg connection and take all that have come."""
    if seconds > 0 and not select.select([connection.fileno()], [], [], seconds)[0]:
        return
    connection.pgconn.consume_input()
    while connection.pgconn.notifies() is not None:
        continue
