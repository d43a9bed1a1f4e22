"""The broker: a stream for what waits or is claimed, a sorted set for what is due later.

A claim is an entry of the stream's pending list. Redis keeps how long ago it was
claimed (the lease, by the server's clock) and how often (the attempt), so that neither
costs a write. Who holds a claim is told by its receipt, the entry's id and the count of
its delivery. The name of a consumer is therefore free, and says how long its claims
last, in milliseconds; all clusters with the same lease are one consumer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from qcore.brokers.base import Broker
from qcore.envelope import Delivery, new_id
from qcore.errors import BrokerError, BrokerUnavailable

from . import scripts
from .connection import Connection
from .diagnosis import diagnose
from .errors import NoGroup
from .options import make_pool
from .server import Server

if TYPE_CHECKING:
    from qcore.conf import Conf
    from qcore.findings import Finding

logger = logging.getLogger("qcore.broker")

GROUP = "clusters"
# The consumer whose claims are over as soon as they begin.
RELEASED = "0"
STATS = ("{qcore:stats}:until", "{qcore:stats}:values")

# Longer leases do not end; Redis counts milliseconds in 64 bits.
LONGEST_MS = 10**15
# Seconds between two looks for leases that are over and packages that are due; also
# the longest time that a released delivery waits for an idle cluster.
SWEEP_SECONDS = 0.25
# How long, in seconds, a reply may take where somebody waits for the call, and the
# bounds where a cluster does: half a lease lets it act before the lease is over.
BRIEF_SECONDS = 1.5
PATIENT_SECONDS = (2.0, 15.0)


class RedisBroker(Broker):
    """Queues in Redis (6.2 or later) or Valkey; see the README of qcore-redis."""

    supports_bulk = True
    supports_release = True
    supports_delay = True
    supports_extend = True
    supports_blocking = True
    supports_order = True
    supports_delete = True
    supports_counts = True
    supports_durable = True
    supports_stats = True
    max_batch = 1000

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        self.max_payload = conf.max_payload
        # The braces make a hash tag: Redis Cluster keeps the three keys together.
        tag = f"{{qcore:{self.queue}}}"
        self._stream = f"{tag}:tasks"
        self._keys = (self._stream, f"{tag}:due", f"{tag}:parked")
        self._consumer = str(min(max(1, round(self.lease * 1000)), LONGEST_MS))
        self._sweep_at = 0.0
        self._brief = Connection(make_pool(conf, BRIEF_SECONDS))

    @cached_property
    def _patient(self) -> Connection:
        """The connection of a cluster, which would rather wait than fail."""
        low, high = PATIENT_SECONDS
        seconds = min(max(self.lease / 2, low), high)
        connection = Connection(make_pool(self.conf, seconds))
        self._inspect(connection)
        return connection

    def _inspect(self, connection: Connection) -> None:
        """Refuse a server that is too old; warn of one that throws queues away."""
        try:
            server = Server.parse(connection.call("INFO"))
        except BrokerUnavailable:
            raise
        except BrokerError as error:
            logger.debug("the server does not tell its version: %s", error)
            return
        server.require_streams()
        if server.evicts:
            logger.warning(
                "%s at %s has maxmemory-policy %s: it deletes queues with all their"
                " tasks when memory is full. Run: CONFIG SET maxmemory-policy noeviction",
                server,
                connection.address,
                server.policy,
            )

    # -- sending -----------------------------------------------------------
    def enqueue(self, package: bytes, *, delay: float = 0) -> str:
        self.check_size((package,))
        if delay > 0:
            return self._park([package], delay)[0]
        id = self._brief.call("XADD", self._stream, "*", "p", package)
        return cast("bytes", id).decode()

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        """Store all packages or none, in one round trip."""
        self.check_size(packages)
        if not packages:
            return []
        if delay > 0:
            return self._park(packages, delay)
        ids = self._brief.run(scripts.STORE, self._keys, *packages)
        return [id.decode() for id in ids]

    def _park(self, packages: Sequence[bytes], delay: float) -> list[str]:
        batch = new_id()
        # The letter tells them from the ids of a stream.
        ids = [f"d{batch}-{index:06d}" for index in range(len(packages))]
        pairs = [word for pair in zip(ids, packages, strict=True) for word in pair]
        self._brief.run(scripts.PARK, self._keys, int(delay * 1000), *pairs)
        return ids

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        limit = min(limit, self.max_batch)
        if limit < 1:
            return []
        now = time.monotonic()
        deadline = now + wait
        if now < self._sweep_at and (found := self._read(limit)):
            return found
        while True:
            found, pause = self._sweep(limit)
            if found:
                return found
            left = max(0.0, deadline - time.monotonic())
            found = self._read(limit, min(left, pause))
            if found or time.monotonic() >= deadline:
                return found

    def _read(self, limit: int, block: float = 0) -> list[Delivery]:
        """Claim packages that nobody has had; wait up to ``block`` seconds for one."""
        waiting = ("BLOCK", int(block * 1000)) if block >= 0.001 else ()
        words = ("GROUP", GROUP, self._consumer, "COUNT", limit, *waiting)
        command = ("XREADGROUP", *words, "STREAMS", self._stream, ">")
        lease_end = time.monotonic() + self.lease
        try:
            reply = self._patient.call(*command)
        except NoGroup:
            self._create_group()
            reply = self._patient.call(*command)
        if not reply:
            return []
        # RESP3 sends a map of streams, RESP2 a list of pairs.
        entries = reply[self._stream.encode()] if type(reply) is dict else reply[0][1]
        return [
            Delivery((id, 1), fields[1], _attempts(fields) + 1, lease_end)
            for id, fields in entries
        ]

    def _sweep(self, limit: int) -> tuple[list[Delivery], float]:
        """Claim what others held too long, and let in what is due.

        Returns:
            The deliveries, and the seconds until the next sweep.
        """
        now = time.monotonic()
        arguments = (GROUP, self._consumer, limit)
        try:
            entries, due = self._patient.run(scripts.SWEEP, self._keys, *arguments)
        except NoGroup:
            self._create_group()
            entries, due = self._patient.run(scripts.SWEEP, self._keys, *arguments)
        pause = min(SWEEP_SECONDS, self._patient.reply_seconds / 2)
        if due >= 0:
            pause = min(pause, (due + 1) / 1000)
        self._sweep_at = now + pause
        lease_end = now + self.lease
        found = [
            Delivery((id, count), fields[1], _attempts(fields) + count, lease_end)
            for id, count, fields in entries
        ]
        return found, pause

    def _create_group(self) -> None:
        self._patient.run(scripts.CREATE_GROUP, self._keys, GROUP)

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        if not receipts:
            return
        ids = [id for id, _ in cast("Sequence[tuple[bytes, int]]", receipts)]
        self._patient.call_many(
            ("XACK", self._stream, GROUP, *ids), ("XDEL", self._stream, *ids)
        )

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        """Give deliveries back; a delayed one goes to the end of the queue."""
        if delay > 0:
            self._judged(scripts.RELEASE_LATER, int(delay * 1000), receipts)
        else:
            self._judged(scripts.EXTEND, RELEASED, receipts)
            self._sweep_at = 0.0

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        lost = self._judged(scripts.EXTEND, self._consumer, receipts)
        return set(receipts) if lost is None else {receipts[int(at)] for at in lost}

    def _judged(
        self, script: scripts.Script, option: str | int, receipts: Sequence[Hashable]
    ) -> Any:
        """Run a script on the receipts that hold; None when the queue is gone."""
        pairs = cast("Iterable[tuple[bytes, int]]", receipts)
        words = [word for pair in pairs for word in pair]
        try:
            return self._patient.run(script, self._keys, GROUP, option, *words)
        except NoGroup:
            return None

    # -- looking after -------------------------------------------------------
    def delete(self, id: str) -> bool:
        """Remove a waiting package; a delayed one has its id only until it is due."""
        stream, due, parked = self._keys
        replies = self._brief.call_many(
            *(
                [("XDEL", stream, id), ("XACK", stream, GROUP, id)]
                if _is_entry(id)
                else []
            ),
            ("ZREM", due, id),
            ("HDEL", parked, id),
        )
        return any(replies)

    def queue_size(self) -> int:
        return int(self._count()[0])

    def lock_size(self) -> int:
        return int(self._count()[1])

    def _count(self) -> list[int]:
        counts = self._brief.run(scripts.COUNT, self._keys, GROUP)
        return cast("list[int]", counts)

    def oldest_waiting(self) -> float | None:
        milliseconds = int(self._brief.run(scripts.OLDEST, self._keys, GROUP))
        return None if milliseconds < 0 else milliseconds / 1000

    def purge_queue(self) -> None:
        self._brief.call("DEL", *self._keys)

    def ping(self) -> bool:
        self._brief.call("PING")
        return True

    def info(self) -> str:
        return str(Server.parse(self._brief.call("INFO")))

    def clock(self) -> float:
        seconds, microseconds = self._brief.call("TIME")
        return int(seconds) + int(microseconds) / 1_000_000

    def diagnose(self) -> list[Finding]:
        return diagnose(Server.parse(self._brief.call("INFO")), self._brief.address)

    def info_name(self) -> str:
        return "Redis (Q_CLUSTER['max_payload'])"

    def close(self) -> None:
        self._brief.close()
        # It is made on first use; asking for it here would make it.
        if "_patient" in self.__dict__:
            self._patient.close()

    # -- status snapshots ------------------------------------------------------
    def set_stat(self, key: str, value: bytes, ttl: float) -> None:
        self._brief.run(scripts.SET_STAT, STATS, key, value, int(ttl * 1000))

    def get_stats(self, prefix: str) -> list[bytes]:
        return cast("list[bytes]", self._brief.run(scripts.GET_STATS, STATS, prefix))


def _attempts(fields: list[bytes]) -> int:
    """Return the attempts before an entry was parked: p, package[, n, attempts]."""
    return int(fields[3]) if len(fields) > 2 else 0


def _is_entry(id: str) -> bool:
    """Whether an id is one of a stream, ``1763912345678-0``; Redis refuses others."""
    return all(part.isdigit() for part in id.split("-"))
