"""What is done to messages by their receipts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import quote

from qcore.brokers.tools import chunks

from .batches import MAX_BATCH
from .connection import Connection
from .errors import Late, Missing
from .receipt import Receipt

logger = logging.getLogger("qcore.broker")


class Reservations:
    """Ends, gives back and renews the reservations of one queue.

    Args:
        connection: to the queue.
        reply_seconds: how long a reply may take.
    """

    def __init__(self, connection: Connection, reply_seconds: float) -> None:
        self._connection = connection
        self._reply_seconds = reply_seconds

    def delete(self, receipts: Sequence[Receipt]) -> None:
        """Remove messages for good, a hundred in a round trip.

        The service refuses a reservation that has ended; the message is removed all
        the same while nobody else holds it.
        """
        for part in chunks(list(dict.fromkeys(receipts)), MAX_BATCH):
            with _holding(part):
                try:
                    self._delete_together(part)
                except (Missing, Late):  # some are gone or late: which?
                    for receipt in part:
                        self._delete_one(receipt)

    def _delete_together(self, receipts: Sequence[Receipt]) -> None:
        reserved = [
            {"id": receipt.id, "reservation_id": receipt.reservation}
            for receipt in receipts
        ]
        self._connection.call(
            lambda queue: queue.delete_multiple(messages={"messages": reserved}),
            self._reply_seconds,
        )

    def _delete_one(self, receipt: Receipt) -> None:
        try:
            with suppress(Missing):
                self._delete(receipt.id, receipt.reservation)
        except Late:
            if not self.delete_free(receipt.id):
                logger.info("%s was acknowledged too late", receipt.id)

    def delete_free(self, id: str) -> bool:
        """Remove a message that nobody holds; return whether it was there."""
        if not id.strip("."):
            return False  # the address would be that of all messages
        try:
            self._delete(id, None)
        except (Missing, Late):
            return False
        return True

    def _delete(self, id: str, reservation: str | None) -> None:
        path = quote(id, safe="")
        self._connection.call(
            lambda queue: queue.delete(path, reservation), self._reply_seconds
        )

    def release(self, receipt: Receipt, delay: int) -> None:
        """Give a message back, to be claimed again after ``delay`` seconds of theirs.

        Raises:
            Missing, Late: it is no longer ours.
        """
        with receipt.lock:
            self._connection.call(
                lambda queue: queue.release(receipt.id, receipt.reservation, delay),
                self._reply_seconds,
            )

    def renew(self, receipt: Receipt, timeout: int) -> None:
        """Hold a message for ``timeout`` seconds of theirs from now.

        If the reply is lost, so is the new reservation. The lease then ends, and a
        success that is stored by then is recognised.

        Raises:
            Missing, Late: it is no longer ours.
        """
        with receipt.lock:
            receipt.reservation = self._connection.call(
                lambda queue: str(
                    queue.touch(receipt.id, receipt.reservation, timeout)[
                        "reservation_id"
                    ]
                ),
                self._reply_seconds,
            )


@contextmanager
def _holding(receipts: Sequence[Receipt]) -> Iterator[None]:
    """Hold all locks, in one order everywhere, so that two holders cannot block."""
    with ExitStack() as stack:
        for receipt in sorted(receipts, key=id):
            stack.enter_context(receipt.lock)
        yield
