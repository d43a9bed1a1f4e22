"""LISTEN on PostgreSQL: an idle consumer wakes when a package is committed.

A notification may be lost (a connection pooler between transactions, a server that
restarts), and none tells of what becomes visible by the clock. So there is a look
after every ``poll`` seconds.
"""

from __future__ import annotations

import logging
import select
import time
from typing import TYPE_CHECKING, Any

from qcore.masking import mask_url

from .waiting import Look, Polling

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
        look: asks whether a package is visible.
        poll: the longest time in seconds between two looks.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, channel: str, look: Look, poll: float
    ) -> None:
        self._template = connection
        self._channel = channel
        self._look = look
        self._poll = poll
        self._polling = Polling(look, poll)
        self._wrapper: BaseDatabaseWrapper | None = None
        self._retry_at = 0.0
        self._complained = False

    def mark(self) -> None:
        # Also while the queue is busy, or the server would have to keep them.
        if self._wrapper is not None:
            self._receive(self._wrapper, 0)

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        if self._wrapper is None and time.monotonic() >= self._retry_at:
            self._listen()
            if self._look():  # committed before the listening began
                return
        while (left := end - time.monotonic()) > 0:
            if self._wrapper is None:
                self._polling.pause(left)
                return
            if self._receive(self._wrapper, min(left, self._poll)) or self._look():
                return

    def found(self) -> None:
        self._polling.found()

    def close(self) -> None:
        wrapper, self._wrapper = self._wrapper, None
        if wrapper is not None:
            wrapper.close()

    def _listen(self) -> None:
        wrapper = self._template.copy()
        # A pool would count this connection, and hand it out still listening.
        wrapper.settings_dict["OPTIONS"].pop("pool", None)
        try:
            with wrapper.cursor() as cursor:
                cursor.execute(f'LISTEN "{self._channel}"')
        except Exception as error:  # noqa: BLE001 - whatever it is, polling goes on
            wrapper.close()
            self._give_up(error)
            return
        self._wrapper = wrapper
        self._complained = False

    def _receive(self, wrapper: BaseDatabaseWrapper, seconds: float) -> bool:
        """Wait for a notification and take all that have come; tell whether any had."""
        try:
            return _notified(wrapper.connection, seconds)
        except Exception as error:  # noqa: BLE001 - a lost server says so in many ways
            self.close()
            self._give_up(error)
            return False

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
