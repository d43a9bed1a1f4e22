"""The life of a queue, compared with the model.

Two consumers send, claim, acknowledge, give back, prolong and discard, die, and time
passes. Whatever the order, nothing is lost, nothing is handed out twice at a time,
attempts grow, and the sizes are true. In the end everything that is left must come once
more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from ....brokers.base import Broker
from ....errors import BrokerError
from ..stateful import Life, Steps
from .model import Claim, Model, Package

PICKS = range(20)
#: The capability that a step needs.
NEEDS = {
    "release": "release", "extend": "extend", "delete": "delete", "count": "counts",
}  # fmt: skip


class Clock(Protocol):
    """The time that a broker goes by, in seconds."""

    #: whether it moves by itself, so that waiting costs time
    real: bool

    def now(self) -> float:
        """Return the moment to compare with the ``lease_end`` of a delivery."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        ...


class RealClock:
    """The monotonic clock of this machine."""

    real = True

    def now(self) -> float:
        """Return it."""
        return time.monotonic()

    def advance(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the machine is told of a broker.

    Args:
        connect: opens a broker on a new queue; ``connect(queue)`` on one that exists.
        clock: of the broker.
        lease: seconds, of all consumers.
        patience: seconds that a service may be late.
        late_acknowledge: whether an acknowledgement counts after the lease.
    """

    connect: Callable[..., Broker]
    clock: Clock
    lease: float
    patience: float
    late_acknowledge: bool


@dataclass(slots=True, eq=False)
class Consumer:
    """A broker of its own, and what was claimed with it."""

    broker: Broker
    claims: list[Claim] = field(default_factory=list)


class QueueLife(Life):
    """One queue.

    Args:
        bench: what is told of its broker.
    """

    STEPS: ClassVar[Steps] = {
        "enqueue": {"count": (1, 2, 3), "delay": (0, 0, 0, 1), "pick": PICKS},
        "claim": {"limit": (1, 2, 3, 4), "pick": PICKS},
        "acknowledge": {"first": PICKS, "second": PICKS, "pick": PICKS},
        "fail": {"pick": PICKS},
        "release": {"first": PICKS, "second": PICKS, "delay": (0, 0, 1), "pick": PICKS},
        "extend": {"first": PICKS, "second": PICKS, "pick": PICKS},
        "delete": {"pick": PICKS},
        "crash": {"pick": PICKS},
        "advance": {"part": (0.1, 0.4, 1.05)},
        "count": {},
    }
    WEIGHTS: ClassVar[Mapping[str, int]] = {
        "enqueue": 2, "claim": 6, "acknowledge": 2, "fail": 1, "release": 4, "extend": 2,
        "delete": 1, "crash": 1, "advance": 2, "count": 4,
    }  # fmt: skip

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.clock = bench.clock
        first = bench.connect()
        self.queue = first.queue
        self.broker = first  # what has no consumer of its own is asked here
        self.consumers = [Consumer(first), Consumer(bench.connect(self.queue))]
        slack = bench.patience if bench.clock.real else 0.0
        self.model = Model(bench.lease, slack, first.supports_order)
        self.sent = 0
        #: seconds that it may still wait; a real clock costs time
        self.budget = 1.2 * bench.lease if bench.clock.real else float("inf")

    def may(self, name: str) -> bool:
        """Whether a step can be done now."""
        if name == "advance":
            return self.budget > 0
        return name not in NEEDS or getattr(self.broker, f"supports_{NEEDS[name]}")

    def holding(self, pick: int) -> Consumer:
        """Return a consumer that holds something, if one does."""
        found = [one for one in self.consumers if one.claims] or self.consumers
        return found[pick % len(found)]

    # -- steps -----------------------------------------------------------------------
    def enqueue(self, count: int, delay: float, pick: int) -> None:
        """Send packages; a broker that cannot delay them does not have to."""
        consumer = self.consumers[pick % 2]
        bodies = [b"package %d" % (self.sent + number) for number in range(count)]
        self.sent += count
        delay = delay if consumer.broker.supports_delay else 0
        since = self.clock.now()
        ids = consumer.broker.enqueue_many(bodies, delay=delay)
        self.model.sent(ids, bodies, delay, since, self.clock.now())

    def claim(self, limit: int, pick: int) -> None:
        """Claim all waiting packages."""
        self._claim(self.consumers[pick % 2], limit)

    def acknowledge(self, first: int, second: int, pick: int) -> None:
        """Acknowledge deliveries, some of them late or twice."""
        consumer = self.holding(pick)
        claims = self._countable(_chosen(consumer.claims, first, second))
        consumer.broker.acknowledge_many([claim.receipt for claim in claims])
        _end(claims)

    def fail(self, pick: int) -> None:
        """Discard a package."""
        consumer = self.holding(pick)
        claims = self._countable(_chosen(consumer.claims, pick, pick))
        for claim in claims:
            consumer.broker.fail(claim.receipt)
        _end(claims)

    def release(self, first: int, second: int, delay: float, pick: int) -> None:
        """Give deliveries back, some of which are not ours any more."""
        consumer = self.holding(pick)
        claims = _chosen(consumer.claims, first, second)
        since = self.clock.now()
        consumer.broker.release([claim.receipt for claim in claims], delay=delay)
        for claim in claims:
            self.model.released(claim, delay, since, self.clock.now())
            consumer.claims.remove(claim)

    def extend(self, first: int, second: int, pick: int) -> None:
        """Prolong leases, some of which are over."""
        consumer = self.holding(pick)
        claims = _chosen(consumer.claims, first, second)
        since = self.clock.now()
        lost = consumer.broker.extend([claim.receipt for claim in claims])
        now = self.clock.now()
        for claim in claims:
            self.model.extended(claim, since, now, lost=claim.receipt in lost)

    def delete(self, pick: int) -> None:
        """Delete a package that nobody has claimed yet."""
        fresh = [package for package in self.model.left() if not package.attempts]
        if fresh:
            package = fresh[pick % len(fresh)]
            assert self.broker.delete(package.id), f"{package.body!r} is not found"
            package.gone = True
            assert not self.broker.delete(package.id), f"{package.body!r} is back"

    def crash(self, pick: int) -> None:
        """Lose a consumer, with all that it knew; another one comes."""
        number = pick % 2
        self.consumers[number].broker.close()
        self.consumers[number] = Consumer(self.bench.connect(self.queue))
        self.broker = self.consumers[0].broker

    def advance(self, part: float) -> None:
        """Let a part of a lease pass."""
        self.budget -= part * self.bench.lease
        self.clock.advance(part * self.bench.lease)

    def count(self) -> None:
        """Ask how many packages wait, and how many are claimed."""
        questions = [(self.broker.queue_size, self.model.waiting)]
        if self.broker.counts_claimed:
            questions.append((self.broker.lock_size, self.model.leased))
        for ask, bounds in questions:
            since = self.clock.now()
            size = ask()
            least, most = bounds(since, self.clock.now())
            wanted = f"{least}" if least == most else f"{least} to {most}"
            assert least <= size <= most, f"{ask.__name__}: {size}, not {wanted}"

    # -- the end ---------------------------------------------------------------------
    def end(self) -> None:
        """See that everything which is left comes once more, and nothing else."""
        bench, consumer = self.bench, self.consumers[0]
        end = max((one.late for one in self.model.left()), default=0) + bench.patience
        while left := self.model.left():
            if claims := self._claim(consumer, 10):
                consumer.broker.acknowledge_many([claim.receipt for claim in claims])
                _end(claims)
                continue
            lost = [one.body for one in left]
            assert self.clock.now() <= end, f"{lost} did not come again"
            self.clock.advance(0.05 if self.clock.real else bench.lease / 4)
        sizes = consumer.broker.sizes()
        assert not any(sizes), f"all is done, and the sizes are {sizes}"
        assert consumer.broker.dequeue(1) == []

    def close(self) -> None:
        """Leave nothing in the service."""
        with suppress(BrokerError):  # deleting queues has tests of its own
            self.broker.delete_queue()
        for consumer in self.consumers:
            consumer.broker.close()

    # -- helpers -----------------------------------------------------------------------
    def _claim(self, consumer: Consumer, limit: int) -> list[Claim]:
        since = self.clock.now()
        waited = self._fresh(since)
        deliveries = consumer.broker.dequeue(limit)
        now = self.clock.now()
        assert len(deliveries) <= limit, f"{len(deliveries)} came, not {limit}"
        claims = [
            self.model.claimed(d.package, d.receipt, d.attempt, d.lease_end, now)
            for d in deliveries
        ]
        self.model.judge_order(claims, waited)
        consumer.claims += claims
        return claims

    def _fresh(self, now: float) -> list[Package]:
        """Return what is due, was never claimed, and never delayed."""
        return [
            package
            for package in self.model.left()
            if package.is_due(now) and not package.attempts and not package.delayed
        ]

    def _countable(self, claims: list[Claim]) -> list[Claim]:
        """Return the claims whose end counts."""
        if self.bench.late_acknowledge:
            return claims
        now = self.clock.now() + self.bench.lease / 4  # the call takes a while
        return [claim for claim in claims if claim.package.holds(claim, now)]


def _end(claims: Iterable[Claim]) -> None:
    for claim in claims:
        claim.package.gone = True


def _chosen(claims: Sequence[Claim], first: int, second: int) -> list[Claim]:
    """Return one or two claims, or none where there are none."""
    picks = {first % len(claims), second % len(claims)} if claims else set()
    return [claims[number] for number in sorted(picks)]
