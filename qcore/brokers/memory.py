"""A broker in this process's memory, for tests and for users of ``sync``.

It keeps every promise of the contract but durability, and nothing outside this
process sees it, so a real cluster cannot use it.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..clock import elapsed
from ..envelope import Delivery
from .base import Broker

if TYPE_CHECKING:
    from ..conf import Conf


class _Queue:
    """One named queue, shared by all brokers of the process."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.packages: dict[str, bytes] = {}
        self.attempts: dict[str, int] = {}
        # of each priority (visible from, id); an entry is stale unless `visible` agrees
        self.order: dict[int, list[tuple[float, str]]] = {}
        self.visible: dict[str, float] = {}
        self.claimed: set[str] = set()
        self.priorities: dict[str, int] = {}  # those that are not 0

    def show(self, id: str, at: float) -> None:
        self.visible[id] = at
        priority = self.priorities.get(id, 0)
        heapq.heappush(self.order.setdefault(priority, []), (at, id))

    def next_at(self) -> float | None:
        """Return the next moment at which something may show; None: nothing does."""
        return min((heap[0][0] for heap in self.order.values() if heap), default=None)

    def drop(self, id: str) -> bool:
        self.attempts.pop(id, None)
        self.visible.pop(id, None)
        self.priorities.pop(id, None)
        self.claimed.discard(id)
        return self.packages.pop(id, None) is not None


class MemoryBroker(Broker):
    """Queues in a dictionary of this process; thread-safe between instances."""

    blocks = False
    supports_bulk = True
    supports_release = True
    supports_delay = True
    supports_extend = True
    supports_blocking = True
    supports_order = True
    supports_priority = True
    supports_delete = True
    supports_counts = True
    supports_stats = True
    max_batch = 1000

    _queues: ClassVar[dict[str, _Queue]] = {}
    _stats: ClassVar[dict[str, tuple[float, bytes]]] = {}
    _guard = threading.Lock()
    _ids = itertools.count(1)

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        self.max_payload = conf.max_payload
        with self._guard:
            self._q = self._queues.setdefault(self.queue, _Queue())

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return self.enqueue_with_priority(packages, 0, delay=delay)

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        self.check_size(packages)
        ids = []
        with self._q.changed:
            for package in packages:
                id = f"{next(self._ids):012d}"
                self._q.packages[id] = package
                self._q.attempts[id] = 0
                if priority:
                    self._q.priorities[id] = priority
                self._q.show(id, elapsed() + delay)
                ids.append(id)
            self._q.changed.notify_all()
        return ids

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        deadline = elapsed() + wait
        with self._q.changed:
            while True:
                now = elapsed()
                found = self._claim(limit, now)
                if found or now >= deadline:
                    return found
                wake = self._q.next_at()
                wake = deadline if wake is None else min(deadline, wake)
                self._q.changed.wait(max(0.001, wake - now))

    def _claim(self, limit: int, now: float) -> list[Delivery]:
        found: list[Delivery] = []
        for priority in sorted(self._q.order, reverse=True):
            self._claim_of(self._q.order[priority], found, limit, now)
            if priority and not self._q.order[priority]:
                del self._q.order[priority]
        return found

    def _claim_of(
        self,
        order: list[tuple[float, str]],
        found: list[Delivery],
        limit: int,
        now: float,
    ) -> None:
        """Claim packages of one priority, up to ``limit`` together with those found."""
        while order and order[0][0] <= now and len(found) < limit:
            at, id = heapq.heappop(order)
            if self._q.visible.get(id) != at:
                continue
            self._q.attempts[id] += 1
            self._q.claimed.add(id)
            self._q.show(id, now + self.lease)
            attempt = self._q.attempts[id]
            package = self._q.packages[id]
            found.append(Delivery((id, attempt), package, attempt, now + self.lease))

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        with self._q.changed:
            for receipt in receipts:
                self._q.drop(_id(receipt))

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        with self._q.changed:
            for receipt in receipts:
                if self._holds(receipt):
                    self._q.claimed.discard(_id(receipt))
                    self._q.show(_id(receipt), elapsed() + delay)
            self._q.changed.notify_all()

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        with self._q.changed:
            lost = {receipt for receipt in receipts if not self._holds(receipt)}
            for receipt in set(receipts) - lost:
                self._q.show(_id(receipt), elapsed() + self.lease)
        return lost

    def _holds(self, receipt: Hashable) -> bool:
        """Whether this very claim is the one in force."""
        id = _id(receipt)
        return (
            id in self._q.claimed
            and receipt == (id, self._q.attempts[id])
            and self._q.visible[id] > elapsed()
        )

    def delete(self, id: str) -> bool:
        with self._q.changed:
            return self._q.drop(id)

    def queue_size(self) -> int:
        now = elapsed()
        with self._q.changed:
            return sum(at <= now for at in self._q.visible.values()) + sum(
                at > now and id not in self._q.claimed
                for id, at in self._q.visible.items()
            )

    def lock_size(self) -> int:
        now = elapsed()
        with self._q.changed:
            return sum(self._q.visible[id] > now for id in self._q.claimed)

    def oldest_waiting(self) -> float | None:
        now = elapsed()
        with self._q.changed:
            oldest = min(self._q.visible.values(), default=now)
        return now - oldest if oldest < now else None

    def ahead(self) -> float | None:
        with self._q.changed:
            at = self._q.next_at()
        return None if at is None else max(0.0, at - elapsed())

    def delayed(self) -> list[tuple[float, bytes]]:
        with self._q.changed:
            now = elapsed()
            found = [
                (at - now, id)
                for id, at in self._q.visible.items()
                if at > now and id not in self._q.claimed
            ]
            return [(ahead, self._q.packages[id]) for ahead, id in sorted(found)]

    def purge_queue(self) -> None:
        with self._q.changed:
            for id in list(self._q.packages):
                self._q.drop(id)
            self._q.order.clear()

    def delete_queue(self) -> None:
        self.purge_queue()

    def ping(self) -> bool:
        return True

    def info(self) -> str:
        return "memory (this process only)"

    def clock(self) -> float:
        return time.time()

    def set_stat(self, key: str, value: bytes, ttl: float) -> None:
        with self._guard:
            self._stats[key] = (time.monotonic() + ttl, value)

    def get_stats(self, prefix: str) -> list[bytes]:
        now = time.monotonic()
        with self._guard:
            return [
                value
                for key, (until, value) in self._stats.items()
                if key.startswith(prefix) and until > now
            ]


def _id(receipt: Hashable) -> str:
    assert isinstance(receipt, tuple)
    return str(receipt[0])
