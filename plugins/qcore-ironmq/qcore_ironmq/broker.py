"""The broker: one pull queue of IronMQ v3, in which packages are base64 texts.

A claim is a reservation, its attempt the service's reserved_count. Messages
that are released, or whose reservation times out, go to the front of the queue.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from qcore.brokers.base import Broker
from qcore.brokers.tools import (
    CALLER_REPLY_SECONDS,
    as_attempt,
    cluster_reply_seconds,
    from_base64,
    long_poll_seconds,
    pack,
    send_parts,
    to_base64,
    too_long,
)
from qcore.envelope import Delivery
from qcore.errors import NoReply

from .batches import (
    FRAME_BYTES,
    MAX_BATCH,
    MAX_REQUEST,
    message_bytes,
    package_room,
    request_room,
)
from .connection import Connection
from .errors import Late, Missing
from .options import (
    MAX_DELAY_SECONDS,
    MAX_WAIT_SECONDS,
    Options,
    check_bounds,
    check_queue,
)
from .receipt import Receipt
from .reservations import Reservations

if TYPE_CHECKING:
    from qcore.conf import Conf

# Of a queue that we make: 30 days, the longest; IronMQ's own seven may pass in a holiday.
EXPIRATION_SECONDS = 2_592_000
# A poll that ends so little before its time, in seconds, has had it.
EARLY_SECONDS = 0.1


class IronMQBroker(Broker):
    """Pull queues of IronMQ v3; see the README of qcore-ironmq."""

    supports_bulk = True
    supports_release = True
    supports_delay = True
    supports_extend = True
    supports_blocking = True
    supports_order = True
    supports_delete = True
    supports_durable = True
    max_batch = MAX_BATCH

    #: Seconds of the service in one of ours; more than one only for a test server
    #: whose clock is quick.
    pace: ClassVar[float] = 1.0

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        check_queue(self.queue)
        check_bounds(conf, self.lease * self.pace)
        self.max_payload: int = min(conf.max_payload, package_room(MAX_REQUEST))
        self._request_bytes = request_room(self.max_payload)
        self._cluster_seconds = cluster_reply_seconds(self.lease)
        self._connection = Connection(Options.read(conf), self.queue)
        self._reservations = Reservations(self._connection, self._cluster_seconds)
        self._is_there = False

    def _theirs(self, seconds: float) -> int:
        """Return whole seconds of the service, rounded up; it takes no parts."""
        return math.ceil(round(seconds * self.pace, 3))

    def _delay(self, seconds: float, what: str) -> int:
        delay = self._theirs(seconds)
        if delay > MAX_DELAY_SECONDS:
            raise too_long(self, what, seconds, MAX_DELAY_SECONDS)
        return max(0, delay)

    # -- sending -----------------------------------------------------------
    def check_delay(self, delay: float) -> None:
        self._delay(delay, "delay a package")

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        """Store packages, up to a hundred in a round trip.

        Raises:
            BrokerError: some packages may have been stored; see its ``unsure``.
        """
        seconds = self._delay(delay, "delay a package")
        self.check_size(packages)
        if not packages:
            return []
        self._find()
        room = self._request_bytes - FRAME_BYTES
        parts = pack(packages, count=MAX_BATCH, size=room, measure=message_bytes)
        return send_parts(parts, partial(self._post, delay=seconds))

    def _post(self, packages: Sequence[bytes], *, delay: int) -> list[str]:
        more = {"delay": delay} if delay else {}
        messages = [{"body": to_base64(one), **more} for one in packages]
        ids = self._connection.call(
            lambda queue: [str(id) for id in queue.post(*messages)["ids"]],
            CALLER_REPLY_SECONDS,
        )
        if len(ids) != len(packages):
            raise NoReply(
                f"{self._connection.place} tells of {len(ids)} messages where"
                f" {len(packages)} were sent. Try again later."
            )
        return ids

    def _find(self) -> None:
        """See once that the queue is there.

        Posting makes a missing queue too, but one that forgets messages in seven days.
        """
        if self._is_there:
            return
        try:
            self._connection.call(lambda queue: queue.info(), CALLER_REPLY_SECONDS)
        except Missing:
            self._create()
        self._is_there = True

    def _create(self) -> None:
        self._connection.create(
            CALLER_REPLY_SECONDS, message_expiration=EXPIRATION_SECONDS
        )

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        """Claim up to a hundred packages; a wait is one long poll, or several."""
        if limit < 1:
            return []
        deadline = time.monotonic() + wait
        left = wait
        while True:
            found = self._reserve(min(limit, MAX_BATCH), self._poll_seconds(left))
            left = deadline - time.monotonic()
            if found or left < EARLY_SECONDS:
                return found

    def _poll_seconds(self, left: float) -> int:
        """Return how long one call may wait, by the service's clock."""
        wanted = self._theirs(max(0.0, left))
        return long_poll_seconds(wanted, self.lease * self.pace, MAX_WAIT_SECONDS)

    def _reserve(self, limit: int, wait: int) -> list[Delivery]:
        timeout = self._theirs(self.lease)
        reply_seconds = self._cluster_seconds + wait / self.pace
        asked = time.monotonic()

        def reserve(queue: Any) -> list[Delivery]:
            reply = queue.reserve(max=limit, timeout=timeout, wait=wait)
            lease_end = asked + self.lease
            return [_delivery(told, lease_end) for told in reply["messages"] or ()]

        try:
            return self._connection.call(reserve, reply_seconds)
        except Missing:
            self._create()
            asked = time.monotonic()
            return self._connection.call(reserve, reply_seconds)

    # -- settling ------------------------------------------------------------
    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        """Remove deliveries for good.

        One whose lease has ended counts while nobody else holds the package.
        """
        self._reservations.delete(_ours(receipts))

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        """Give deliveries back, to the front of the queue; one call for each."""
        seconds = self._delay(delay, "hide a delivery")
        for receipt in _ours(receipts):
            with suppress(Missing, Late):
                self._reservations.release(receipt, seconds)

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        """Prolong leases, with one call for each."""
        lost: set[Hashable] = set()
        for receipt in _ours(receipts):
            try:
                self._reservations.renew(receipt, self._theirs(self.lease))
            except (Missing, Late):
                lost.add(receipt)
        return lost

    # -- looking after -------------------------------------------------------
    def delete(self, id: str) -> bool:
        """Remove a waiting package; one that is claimed is not removed."""
        return self._reservations.delete_free(id)

    def purge_queue(self) -> None:
        with suppress(Missing):
            self._connection.call(lambda queue: queue.clear(), CALLER_REPLY_SECONDS)

    def delete_queue(self) -> None:
        with suppress(Missing):
            self._connection.call(
                lambda queue: queue.delete_queue(), CALLER_REPLY_SECONDS
            )
        self._is_there = False

    def ping(self) -> bool:
        with suppress(Missing):
            self._connection.call(lambda queue: queue.info(), CALLER_REPLY_SECONDS)
        return True

    def info(self) -> str:
        """Return name and address, for IronMQ does not tell its version."""
        self.ping()
        return self._connection.place

    def info_name(self) -> str:
        return "IronMQ"

    def close(self) -> None:
        self._connection.close()


def _delivery(told: Mapping[str, Any], lease_end: float) -> Delivery:
    # what is not ours is a delivery, too: the dispatcher puts it into quarantine
    package = from_base64(told.get("body", ""))
    receipt = Receipt(str(told["id"]), str(told["reservation_id"]))
    attempt = as_attempt(told.get("reserved_count"))
    return Delivery(receipt, package, attempt, lease_end)


def _ours(receipts: Sequence[Hashable]) -> Sequence[Receipt]:
    return cast("Sequence[Receipt]", receipts)
