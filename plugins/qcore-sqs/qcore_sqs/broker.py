"""The broker: one standard queue of SQS, in which packages are base64 texts.

A claim is SQS's visibility timeout, given with each receive, so that the attributes of
the queue do not matter; the attempt is its ApproximateReceiveCount.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from qcore.brokers.base import Broker
from qcore.brokers.tools import (
    CALLER_REPLY_SECONDS,
    as_attempt,
    base64_bytes,
    base64_room,
    chunks,
    cluster_reply_seconds,
    from_base64,
    long_poll_seconds,
    pack,
    send_parts,
    to_base64,
    too_long,
)
from qcore.envelope import Delivery
from qcore.errors import BrokerUnavailable

from .connection import Connection
from .errors import NoQueue, Undone
from .options import (
    MAX_BATCH,
    MAX_DELAY_SECONDS,
    MAX_LEASE_SECONDS,
    MAX_WAIT_SECONDS,
    Options,
    check_queue,
)
from .queue import DOCUMENTED_BYTES, Queue, attributes, find, make
from .receipt import Receipt
from .session import open_session

if TYPE_CHECKING:
    from qcore.conf import Conf

T = TypeVar("T")

logger = logging.getLogger("qcore.broker")

#: The attribute of a message that is its attempt.
COUNT = "ApproximateReceiveCount"


class SQSBroker(Broker):
    """Standard queues of Amazon SQS; see the README of qcore-sqs."""

    supports_bulk = True
    supports_release = True
    supports_delay = True
    supports_extend = True
    supports_blocking = True
    supports_counts = True
    supports_durable = True
    max_batch = MAX_BATCH

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        check_queue(self.queue)
        self._options = Options.read(conf)
        open_session(self._options)  # refuses a missing region; connects to nothing
        self._visibility = math.ceil(self.lease)
        self._cluster_seconds = cluster_reply_seconds(self.lease)
        self._connections: dict[float, Connection] = {}
        self._found: Queue | None = None
        self._knows_counts = False  # nothing is to be said about it (any more)
        # As long as the queue has not been asked; see check_size.
        self.max_payload: int = self._payload(DOCUMENTED_BYTES)

    def _payload(self, most: int) -> int:
        """Return the bytes of a package whose base64 has up to ``most``."""
        return min(self.conf.max_payload, base64_room(most))

    def _connection(self, reply_seconds: float) -> Connection:
        """Return the connection whose replies may take so long; boto3 has one each."""
        made = self._connections.get(reply_seconds)
        if made is None:
            made = Connection(self._options, reply_seconds)
            self._connections[reply_seconds] = made
        return made

    @property
    def _brief(self) -> Connection:
        return self._connection(CALLER_REPLY_SECONDS)

    @property
    def _patient(self) -> Connection:
        return self._connection(self._cluster_seconds)

    # -- the queue -----------------------------------------------------------
    def _find(self) -> Queue:
        """Look the queue up, once; raise NoQueue where it is not there."""
        if self._found is None:
            self._note(find(self._brief, self.queue))
        return cast("Queue", self._found)

    def _open(self) -> Queue:
        """Find the queue, or make it."""
        try:
            return self._find()
        except NoQueue:
            return self._note(make(self._brief, self.queue))

    def _note(self, found: Queue) -> Queue:
        self._found = found
        self.max_payload = self._payload(found.most)
        return found

    def _on_queue(self, work: Callable[[Queue], T]) -> T:
        """Do something with the queue, and again where it has gone meanwhile."""
        try:
            return work(self._open())
        except NoQueue:
            self._found = None
            return work(self._open())

    def _whole(self, seconds: float, limit: int, what: str) -> int:
        """Round up to whole seconds, which is all that SQS knows.

        Raises:
            Unsupported: there are more than ``limit``.
        """
        if seconds > limit:
            raise too_long(self, what, seconds, limit)
        return max(0, math.ceil(seconds))

    # -- sending -----------------------------------------------------------
    def check_delay(self, delay: float) -> None:
        self._whole(delay, MAX_DELAY_SECONDS, "delay a package")

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        """Store packages, ten in a round trip.

        Raises:
            BrokerError: some packages may have been stored; see its ``unsure``.
        """
        seconds = self._whole(delay, MAX_DELAY_SECONDS, "delay a package")
        self.check_size(packages)
        if not packages:
            return []

        def send(queue: Queue) -> list[str]:
            self.check_size(packages)  # again: a queue may take less than SQS does
            most = max(queue.most, DOCUMENTED_BYTES)
            parts = pack(packages, count=MAX_BATCH, size=most, measure=_text_bytes)
            return send_parts(parts, partial(self._send, queue, delay=seconds))

        return self._on_queue(send)

    def _send(
        self, queue: Queue, packages: Sequence[bytes], *, delay: int
    ) -> list[str]:
        entries = [
            {"MessageBody": to_base64(package), "DelaySeconds": delay}
            for package in packages
        ]
        try:
            answer = self._brief.batch("send_message_batch", queue.url, entries)
        except Undone as error:
            error.unsure = len(packages)
            raise
        for told in answer.refused.values():
            refusal = self._brief.refusal(told)
            # which of the others are stored does not follow the order of packages
            refusal.unsure = len(packages) if answer.done else 0
            raise refusal
        return [str(answer.done[at]["MessageId"]) for at in range(len(packages))]

    def check_size(self, packages: Iterable[bytes]) -> None:
        """Refuse a package that is too large; ask the queue only where it matters."""
        packages = list(packages)
        large = any(len(package) > self.max_payload for package in packages)
        if large and self._found is None:
            with suppress(BrokerUnavailable):
                self._open()
        super().check_size(packages)

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        """Claim up to ten packages.

        A wait of a second or more is a long poll, or several; SQS waits for whole
        seconds only, so a shorter one is a pause between two looks.
        """
        if limit < 1:
            return []
        if wait > 0:
            wait = max(wait, self._options.wait)
        deadline = time.monotonic() + wait
        while True:
            asked = time.monotonic()
            seconds = self._poll_seconds(max(0.0, deadline - asked))
            found = self._receive(min(limit, MAX_BATCH), seconds)
            now = time.monotonic()
            if found or now >= deadline:
                return found
            # also where a service answers before its time
            until = asked + seconds if seconds else deadline
            time.sleep(max(0.0, min(until, deadline) - now))

    def _poll_seconds(self, left: float) -> int:
        return long_poll_seconds(round(left), self.lease, MAX_WAIT_SECONDS)

    def _receive(self, limit: int, seconds: int) -> list[Delivery]:
        connection = self._connection(self._cluster_seconds + seconds)

        def receive(queue: Queue) -> list[Delivery]:
            asked = time.monotonic()
            reply = connection.call(
                "receive_message",
                QueueUrl=queue.url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=seconds,
                VisibilityTimeout=self._visibility,
                # services that speak as SQS may know only the older of the two names
                MessageSystemAttributeNames=[COUNT],
                AttributeNames=[COUNT],
            )
            lease_end = asked + self.lease
            messages = reply.get("Messages") or ()
            # without a receipt nothing can be done with a message; it is passed over
            found = [m for m in messages if m.get("ReceiptHandle")]
            if not (self._knows_counts or all(map(_is_counted, found))):
                self._complain_of_counts()
            return [_delivery(message, lease_end) for message in found]

        return self._on_queue(receive)

    def _complain_of_counts(self) -> None:
        """Say once that attempts are not counted; one process says it once for each queue."""
        self._knows_counts = True
        logger.warning(
            "%s does not report %s, so every delivery counts as the first: neither"
            " 'max_attempts' nor 'max_crashes' of Q_CLUSTER ends a task that fails. Use"
            " another service, or a redrive policy of the queue.",
            self._brief.place,
            COUNT,
        )

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        if not receipts:
            return
        handles = list(dict.fromkeys(one.handle for one in _ours(receipts)))
        with suppress(NoQueue):  # then its messages are gone, too
            queue = self._find()
            for part in chunks(handles, MAX_BATCH):
                entries = [{"ReceiptHandle": handle} for handle in part]
                answer = self._patient.batch("delete_message_batch", queue.url, entries)
                self._raise_refusal(answer.refused, answer.too_late)

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        self._hide(
            receipts, self._whole(delay, MAX_LEASE_SECONDS, "hide a delivery"), 0
        )

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        return self._hide(receipts, self._visibility, self.lease)

    def _hide(
        self, receipts: Sequence[Hashable], seconds: int, lease: float
    ) -> set[Hashable]:
        """Have deliveries come again in so many seconds, and be ours for a ``lease``.

        Returns:
            The receipts that are lost.
        """
        kept: set[Receipt] = set()
        with suppress(NoQueue):
            for part in chunks(_ours(receipts), MAX_BATCH):
                kept |= self._hide_part(part, seconds, lease)
        return set(receipts) - kept

    def _hide_part(
        self, receipts: Sequence[Receipt], seconds: int, lease: float
    ) -> set[Receipt]:
        asked = time.monotonic()
        held = [receipt for receipt in receipts if receipt.lease_end > asked]
        if not held:
            return set()
        entries = [
            {"ReceiptHandle": receipt.handle, "VisibilityTimeout": seconds}
            for receipt in held
        ]
        url = self._find().url
        answer = self._patient.batch("change_message_visibility_batch", url, entries)
        self._raise_refusal(answer.refused, answer.too_late)
        kept = {held[at] for at in answer.done}
        for receipt in kept:
            receipt.lease_end = asked + lease
        return kept

    def _raise_refusal(
        self, refused: Mapping[int, Mapping[str, Any]], late: set[int]
    ) -> None:
        for at, told in refused.items():
            if at not in late:
                raise self._patient.refusal(told)

    # -- looking after -------------------------------------------------------
    def queue_size(self) -> int:
        """Return about how many packages wait; exact once nothing moves for a minute."""
        counts = self._counts()
        delayed = counts.get("ApproximateNumberOfMessagesDelayed", 0)
        return counts.get("ApproximateNumberOfMessages", 0) + delayed

    def lock_size(self) -> int:
        """Return about how many packages are claimed, or released with a delay."""
        return self._counts().get("ApproximateNumberOfMessagesNotVisible", 0)

    def _counts(self) -> dict[str, int]:
        try:
            return attributes(self._brief, self._find().url)
        except NoQueue:
            self._found = None
            return {}

    def purge_queue(self) -> None:
        """Remove every package; AWS takes up to a minute to do it."""
        with suppress(NoQueue):
            self._brief.call("purge_queue", QueueUrl=self._find().url)

    def delete_queue(self) -> None:
        """Remove the queue; AWS makes it anew a minute later at the earliest."""
        with suppress(NoQueue):
            self._brief.call("delete_queue", QueueUrl=self._find().url)
        self._found = None

    def ping(self) -> bool:
        with suppress(NoQueue):
            self._brief.call("get_queue_url", QueueName=self.queue)
        return True

    def info(self) -> str:
        self.ping()
        return self._brief.place

    def info_name(self) -> str:
        return "Amazon SQS"

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


def _is_counted(told: Mapping[str, Any]) -> bool:
    return bool((told.get("Attributes") or {}).get(COUNT))


def _delivery(told: Mapping[str, Any], lease_end: float) -> Delivery:
    # what is not ours is a delivery, too: the dispatcher puts it into quarantine
    package = from_base64(told.get("Body", ""))
    attempt = as_attempt((told.get("Attributes") or {}).get(COUNT))
    receipt = Receipt(told["ReceiptHandle"], lease_end)
    return Delivery(receipt, package, attempt, lease_end)


def _text_bytes(package: bytes) -> int:
    """Return the bytes of a package's base64."""
    return base64_bytes(len(package))


def _ours(receipts: Sequence[Hashable]) -> Sequence[Receipt]:
    return cast("Sequence[Receipt]", receipts)
