"""The broker: a stream for what waits or is claimed, a sorted set for what is due later.

A claim is an entry of the stream's pending list. Redis keeps how long ago it was
claimed (the lease, by the server's clock) and how often (the attempt), so that neither
costs a write. Who holds a claim is told by its receipt, the entry's id and the count of
its delivery. The name of a consumer is therefore free, and says how long its claims
last, in milliseconds; all clusters with the same lease are one consumer.

A reader that waits is woken by an entry of the stream. What becomes claimable without one
is found by a sweep: what was given back, what is due, what has lost its lease. So that an
idle cluster need not sweep all the time, there is a second stream that readers wait for,
too: an entry there says that a sweep would find something, or that the next one is due
sooner than was known.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from qcore.brokers.base import Broker
from qcore.brokers.tools import (
    CALLER_REPLY_SECONDS,
    cluster_reply_seconds,
    pack,
    send_parts,
)
from qcore.envelope import Delivery, new_id
from qcore.errors import BrokerError, BrokerUnavailable, NoReply

from . import scripts
from .bands import claim
from .connection import Connection
from .diagnosis import diagnose
from .entries import GROUP, delivery_of, is_entry
from .errors import KeysApart, NoGroup
from .options import make_pool, seeds
from .server import Server

if TYPE_CHECKING:
    from qcore.conf import Conf
    from qcore.findings import Finding

logger = logging.getLogger("qcore.broker")

# The consumer whose claims are over as soon as they begin.
RELEASED = "0"
STATS = ("{qcore:stats}:until", "{qcore:stats}:values")

# Bytes that one call sends at most, unless a single package has more: a server stores
# them in a few milliseconds, in which it serves nobody else.
PART_BYTES = 4 * 1024 * 1024
# Longer leases do not end; Redis counts milliseconds in 64 bits.
LONGEST_MS = 10**15
# Seconds between two sweeps, for leases that are over: while there are claims, and while
# there are none (then also the safety net for a reader that was woken, and died).
SWEEP_SECONDS = 0.25
IDLE_SWEEP_SECONDS = 1.0
# The least that a read can wait: BLOCK counts milliseconds, and what is cut off is less.
BLOCK_SECONDS = 0.001


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
        # The braces make a hash tag: Redis Cluster keeps the four keys together.
        tag = f"{{qcore:{self.queue}}}"
        self._stream, self._wake = f"{tag}:tasks", f"{tag}:wake"
        self._keys = (self._stream, f"{tag}:due", f"{tag}:parked", self._wake)
        # what says that a sweep would find nothing new: claims, and the first that is due
        self._peeks = [
            ("XPENDING", self._stream, GROUP),
            ("ZRANGE", self._keys[1], 0, 0),
        ]
        # while there are no claims; short against a lease, for one may come and be lost
        self._idle_pause = min(IDLE_SWEEP_SECONDS, max(SWEEP_SECONDS, self.lease / 4))
        self._consumer = str(min(max(1, round(self.lease * 1000)), LONGEST_MS))
        self._sweep_at = self._due_at = 0.0  # monotonic
        self._first = b""  # id of the package that is due then
        self._quiet = False  # nothing came in the last wait
        self._is_apart = False  # the queues of the bands are on several nodes
        self._seeds = seeds(conf)
        self._brief = Connection(make_pool(conf, CALLER_REPLY_SECONDS), self._seeds)

    @cached_property
    def _patient(self) -> Connection:
        """The connection of a cluster, which would rather wait than fail."""
        seconds = cluster_reply_seconds(self.lease)
        connection = Connection(make_pool(self.conf, seconds), self._seeds)
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
        try:
            id = self._brief.call("XADD", self._stream, "*", "p", package)
        except NoReply as error:
            error.unsure = 1
            raise
        return cast("bytes", id).decode()

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        """Store packages in parts; all of a part or none, in one round trip."""
        self.check_size(packages)
        send = partial(self._park, delay=delay) if delay > 0 else self._store
        parts = pack(packages, count=self.max_batch, size=PART_BYTES)
        return send_parts(parts, send)

    def _store(self, packages: Sequence[bytes]) -> list[str]:
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
        if wait <= 0 and now < self._sweep_at:
            # who does not wait is told of everything that can be claimed
            if found := self._read(limit):
                return found
            self._sweep_at = 0.0
        while True:
            if now >= self._sweep_at and (found := self.sweep(limit)):
                return found
            now = time.monotonic()
            found = self._read(limit, min(deadline, self._sweep_at) - now)
            now = time.monotonic()
            # One that was woken at the last moment has not seen yet what for. What is
            # left of the last millisecond would be a read of its own.
            if found or (now >= deadline - BLOCK_SECONDS and self._sweep_at):
                return found

    def _read(self, limit: int, block: float = 0) -> list[Delivery]:
        """Claim packages that nobody has had; wait up to ``block`` seconds for one.

        It returns early, with none, when something has come that a sweep finds.
        """
        waiting = ("BLOCK", int(block * 1000)) if block >= BLOCK_SECONDS else ()
        words = ("GROUP", GROUP, self._consumer, "COUNT", limit, *waiting)
        streams = (self._stream, self._wake, ">", ">")
        commands = [("XREADGROUP", *words, "STREAMS", *streams)]
        if waiting and self._quiet:
            commands += self._peeks
        lease_end = time.monotonic() + self.lease
        try:
            reply, *seen = self._patient.call_first(*commands)
        except NoGroup:
            self.create_group()
            reply, *seen = self._patient.call_first(*commands)
        self._quiet = not reply and bool(waiting)
        if not reply:
            self._put_off(seen)
            return []
        # RESP3 sends a map of streams, RESP2 a list of pairs.
        found = dict(reply)
        if self._wake.encode() in found:
            self._sweep_at = 0.0
        else:  # from now on there are claims
            self._sweep_at = min(self._sweep_at, time.monotonic() + SWEEP_SECONDS)
        return [
            delivery_of(id, 1, fields, lease_end)
            for id, fields in found.get(self._stream.encode(), ())
        ]

    def _put_off(self, seen: list[Any]) -> None:
        """Put off the next sweep, if what was seen at the end of a wait allows it.

        It is asked for with the read, so that an idle cluster needs one round trip.
        """
        if not seen:
            return
        claims, first = seen
        if isinstance(claims, Exception) or isinstance(first, Exception):
            self._sweep_at = 0.0  # which will say what is wrong, or put it right
        elif (first[0] if first else b"") != self._first:
            self._sweep_at = 0.0  # another cluster was woken for it
        elif not claims[0]:
            self._sweep_at = min(self._due_at, time.monotonic() + self._idle_pause)

    def sweep(self, limit: int) -> list[Delivery]:
        """Claim what others held too long, let in what is due, and say when again."""
        now = time.monotonic()
        arguments = (GROUP, self._consumer, limit)
        try:
            answer = self._patient.run(scripts.SWEEP, self._keys, *arguments)
        except NoGroup:
            self.create_group()
            answer = self._patient.run(scripts.SWEEP, self._keys, *arguments)
        entries, due, self._first, claimed = answer
        pause = SWEEP_SECONDS if claimed else self._idle_pause
        # a blocking read must not take longer than any reply may
        pause = min(pause, self._patient.reply_seconds / 2)
        self._due_at = now + (due + 1) / 1000 if due >= 0 else math.inf
        self._sweep_at = min(now + pause, self._due_at)
        lease_end = now + self.lease
        return [
            delivery_of(id, count, fields, lease_end) for id, count, fields in entries
        ]

    def dequeue_bands(
        self, bands: Sequence[Broker], limit: int
    ) -> list[tuple[int, list[Delivery]]] | None:
        """Claim from several queues, of which one look says what has any.

        None on a Redis Cluster, where queues are on different nodes.
        """
        limit = min(limit, self.max_batch)
        if self._is_apart or limit < 1:
            return None
        found: list[tuple[int, list[Delivery]]] = []
        try:
            its = cast("Sequence[RedisBroker]", bands)
            for part in claim(self._patient, self._consumer, its, limit):
                found.append(part)  # noqa: PERF402 - those before an error count
        except KeysApart:
            self._is_apart = True
            return None
        except BrokerError:
            if not found:
                raise
            # what is claimed is handed out; the next call meets the error
        return found

    @property
    def looked_at(self) -> tuple[str, str]:
        """The keys that say whether something can be claimed."""
        return self._stream, self._wake

    @property
    def is_sweep_due(self) -> bool:
        """Whether a sweep may find something by now."""
        return time.monotonic() >= self._sweep_at

    def sweep_next(self) -> None:
        """Let the next claim begin with a sweep."""
        self._sweep_at = 0.0

    def read_new(self, limit: int) -> list[Delivery]:
        """Claim packages that nobody has had; nothing is waited for."""
        lease_end = time.monotonic() + self.lease
        words = ("GROUP", GROUP, self._consumer, "COUNT", limit)
        reply = self._patient.call("XREADGROUP", *words, "STREAMS", self._stream, ">")
        # from now on there are claims
        self._sweep_at = min(self._sweep_at, time.monotonic() + SWEEP_SECONDS)
        entries = dict(reply or ()).get(self._stream.encode(), ())
        return [delivery_of(id, 1, its, lease_end) for id, its in entries]

    def create_group(self) -> None:
        """Make the consumer group of both streams, and the streams that are not there."""
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
            self._judged(scripts.RELEASE, RELEASED, receipts)
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
        stream, due, parked, _ = self._keys
        replies = self._brief.call_many(
            *(
                [("XDEL", stream, id), ("XACK", stream, GROUP, id)]
                if is_entry(id)
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
