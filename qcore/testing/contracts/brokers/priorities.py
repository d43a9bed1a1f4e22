"""What a broker with ``supports_priority`` promises about who is claimed first."""

from __future__ import annotations

import random

import pytest

from ....brokers.base import Broker
from ....errors import PayloadTooLarge
from .case import LONG, BrokerCase, Connect

#: Priorities that a broker must tell apart: the limits, the usual one, and one each of
#: the five bands.
FAR_APART = (-100, -50, 0, 50, 100)


class PrioritiesContract(BrokerCase):
    """A package of a higher priority is claimed before the others."""

    #: Whether every priority from -100 to 100 is told apart. Off where the broker has
    #: fewer levels; ``FAR_APART`` are told apart always.
    exact_priority = True
    #: Whether the highest priority is always first. Off where some claims begin with the
    #: lowest, so that nothing waits for ever.
    strict_priority = True

    def test_higher_priority_first(self, broker: Broker) -> None:
        """With the flag ``priority``, the highest one that waits is claimed first."""
        self.require(broker, "priority")
        for priority in random.Random(3).sample(FAR_APART, len(FAR_APART)):
            broker.enqueue_with_priority([b"%d" % priority], priority)
        came = [self.receive_one(broker).package for _ in FAR_APART]
        assert came == [b"%d" % one for one in reversed(FAR_APART)]

    def test_every_priority_counts(self, broker: Broker) -> None:
        """Neighbouring priorities are told apart, too."""
        self.require(broker, "priority")
        if not self.exact_priority:
            pytest.skip(f"{type(broker).__name__} has fewer levels")
        for priority in (-99, 98, 1, -1, 99, -100):
            broker.enqueue_with_priority([b"%d" % priority], priority)
        broker.enqueue(b"0")
        came = [one.package for one in self.receive(broker, 7)]
        assert came == [b"99", b"98", b"1", b"0", b"-1", b"-99", b"-100"]

    def test_a_late_package_overtakes(self, connect: Connect) -> None:
        """A package of another sender overtakes at once, whoever has claimed before."""
        consumer, sender = connect(retry=LONG), connect(retry=LONG)
        self.require(consumer, "priority")
        sender.enqueue_many([b"low-1", b"low-2", b"low-3"])
        assert self.receive_one(consumer).package == b"low-1"
        sender.enqueue_with_priority([b"high"], 100)
        assert self.receive_one(consumer).package == b"high"
        sender.enqueue_with_priority([b"last"], -100)
        left = [self.receive_one(consumer).package for _ in range(3)]
        assert left == [b"low-2", b"low-3", b"last"]

    def test_a_claim_is_filled_from_lower_ones(self, broker: Broker) -> None:
        """One claim takes of several priorities, and never more than its limit."""
        self.require(broker, "priority", "bulk")
        broker.enqueue_with_priority([b"low"] * 3, -100)
        broker.enqueue_with_priority([b"high"] * 2, 100)
        broker.enqueue(b"usual")
        first = self.receive(broker, 1) + broker.dequeue(limit=3)
        assert len(first) <= 4
        rest = self.receive(broker, 6 - len(first))
        came = [one.package for one in first + rest]
        assert sorted(came) == sorted([b"low"] * 3 + [b"high"] * 2 + [b"usual"])
        if self.strict_priority:
            assert came == [b"high"] * 2 + [b"usual"] + [b"low"] * 3

    def test_order_within_a_priority(self, broker: Broker) -> None:
        """With the flag ``order``, too, equal ones are claimed as they were sent."""
        self.require(broker, "priority", "order")
        for number in range(6):
            broker.enqueue_with_priority([b"%d" % number], 50)
        came = [self.receive_one(broker).package for _ in range(6)]
        assert came == [b"%d" % number for number in range(6)]

    def test_a_delayed_one_does_not_block(self, broker: Broker) -> None:
        """A package of high priority that is delayed lets lower ones go first."""
        self.require(broker, "priority", "delay")
        broker.enqueue_with_priority([b"later"], 100, delay=LONG)
        broker.enqueue(b"now")
        assert self.receive_one(broker).package == b"now"
        assert broker.dequeue(limit=10) == []

    def test_a_lease_keeps_the_priority(self, connect: Connect) -> None:
        """A package comes again with its priority when its lease has ended."""
        short = connect()
        self.require(short, "priority")
        short.enqueue_with_priority([b"high"], 100)
        assert self.receive_one(short).package == b"high"
        short.enqueue_many([b"low"] * 3)
        self.wait_out(self.term)
        again = self.receive_one(connect(retry=LONG))
        assert (again.package, again.attempt) == (b"high", 2)

    def test_released_keeps_the_priority(self, broker: Broker) -> None:
        """A package that was given back is claimed by its priority."""
        self.require(broker, "priority", "release")
        broker.enqueue(b"low")
        broker.enqueue_with_priority([b"high"], 100)
        broker.release([self.receive_one(broker).receipt])
        assert self.receive_one(broker).package == b"high"

    def test_priorities_are_counted_together(self, broker: Broker) -> None:
        """Counts, the oldest, deletion and purging are about all priorities."""
        self.require(broker, "priority", "counts")
        (low,) = broker.enqueue_with_priority([b"low"], -100)
        broker.enqueue_with_priority([b"high"], 100)
        broker.enqueue(b"usual")
        assert broker.queue_size() == 3
        assert broker.oldest_waiting() is None or broker.oldest_waiting() >= 0  # type: ignore[operator]
        if broker.supports_delete:
            assert broker.delete(low)
            assert broker.queue_size() == 2
        broker.purge_queue()
        assert broker.queue_size() == 0
        assert broker.dequeue(limit=10) == []

    def test_an_acknowledged_one_is_gone(self, broker: Broker) -> None:
        """Deliveries of several priorities are acknowledged in one call."""
        self.require(broker, "priority")
        for priority in FAR_APART:
            broker.enqueue_with_priority([b"x"], priority)
        found = self.receive(broker, len(FAR_APART))
        broker.acknowledge_many([one.receipt for one in found])
        if broker.supports_counts:
            assert self.sizes(broker) == self.counted(broker, 0, 0)
        if broker.supports_extend:
            receipts = {one.receipt for one in found}
            assert broker.extend(list(receipts)) == receipts

    def test_oversize_is_refused_with_a_priority(self, broker: Broker) -> None:
        """One package over the limit refuses the whole ``enqueue_with_priority``."""
        self.require(broker, "priority")
        if broker.max_payload is None:
            pytest.skip(f"{type(broker).__name__} sets no limit to packages")
        with pytest.raises(PayloadTooLarge):
            broker.enqueue_with_priority([b"x", b"x" * (broker.max_payload + 1)], 1)
        assert broker.dequeue(limit=10) == []
