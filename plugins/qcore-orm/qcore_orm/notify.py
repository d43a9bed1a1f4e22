"""LISTEN on PostgreSQL: an idle consumer wakes when a package is committed.

None tells of what becomes visible by the clock, so there is a look when the next package
does. A notification may be lost (a server that restarts), so there is one every two seconds,
too; or every ``poll`` seconds until the first notification has come: behind a connection
pooler that gives every transaction another connection, none ever does.
"""

from __future__ import annotations

import logging
import select
import time
from typing import TYPE_CHECKING, Any

from qcore.masking import mask_url

from .waiting import Look, Polling, Rest

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("qcore.orm")

#: Seconds between two attempts to listen; a consumer polls in the meantime.
RETRY_SECONDS = 30.0


class Listener:
    """Waits on a connection of its own, which is made on the first pause.

    Args:
        connection: tells how to connect; it is not used itself, for a notification
            reaches a connection only between its transactions.
        channel: where ``PostgresStatements.insert`` tells of packages.
        look: asks when a package is visible.
        poll: seconds between two looks of one who is told nothing.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, channel: str, look: Look, poll: float
    ) -> None:
        self._template = connection
        self._channel = channel
        self._poll = poll
        self._rest = Rest(look, poll)
        self._polling = Polling(look, poll)
        self._wrapper: BaseDatabaseWrapper | None = None
        self._retry_at = 0.0
        self._complained = False

    def mark(self) -> None:
        # Also while the queue is busy, or the server would have to keep them.
        if self._wrapper is not None:
            self._receive(self._wrapper, 0)

    def pause(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        if self._wrapper is None and time.monotonic() >= self._retry_at:
            self._listen()
            if self._rest.look():  # committed before the listening began
                return True
        while (left := end - time.monotonic()) > 0:
            if self._wrapper is None:
                return self._polling.pause(left)
            told = self._receive(self._wrapper, min(left, self._rest.left()))
            if told or self._rest.look_if_due():
                return True
        return False

    def found(self) -> None:
        self._polling.found()

    def close(self) -> None:
        wrapper, self._wrapper = self._wrapper, None
        self._rest.is_trusted = False
        if wrapper is not None:
            wrapper.close()

    def _listen(self) -> None:
        wrapper = self._template.copy()
        # A pool would count this connection, and hand it out still listening.
        wrapper.settings_dict["OPTIONS"].pop("pool", None)
        try:
            with wrapper.cursor() as cursor:
                cursor.execute(f'LISTEN "{self._channel}"')
            # from another connection: what comes of it can be relied on
            with self._template.cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, '')", [self._channel])
        except Exception as error:  # noqa: BLE001 - whatever it is, polling goes on
            wrapper.close()
            self._give_up(error)
            return
        self._wrapper = wrapper
        self._complained = False

    def _receive(self, wrapper: BaseDatabaseWrapper, seconds: float) -> bool:
        """Wait for a notification and take all that have come; tell whether any had."""
        try:
            told = _notified(wrapper.connection, seconds)
        except Exception as error:  # noqa: BLE001 - a lost server says so in many ways
            self.close()
            self._give_up(error)
            return False
        if told:
            self._rest.announced()
        return told

    def _give_up(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if not self._complained:
            self._complained = True
            logger.warning(
                "cannot listen for packages, looking every %s s: %s",
                self._poll,
                " ".join(mask_url(str(error)).split()),
            )


def _notified(connection: Any, seconds: float) -> bool:
    if seconds > 0 and not select.select([connection.fileno()], [], [], seconds)[0]:
        return False
    connection.pgconn.consume_input()
    notified = False
    while connection.pgconn.notifies() is not None:
        notified = True
    return notified
