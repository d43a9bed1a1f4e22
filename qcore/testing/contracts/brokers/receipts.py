"""What a broker promises about acknowledgements."""

from __future__ import annotations

from ....brokers.base import Broker
from ...speed import begun_again_when_late, must_precede
from .case import LONG, BrokerCase, Connect


class ReceiptsContract(BrokerCase):
    """Acknowledged once is gone for good, and nothing else is."""

    @begun_again_when_late
    def test_acknowledged_never_returns(self, connect: Connect) -> None:
        """An acknowledged delivery does not come again after its lease."""
        broker = connect()
        broker.enqueue(b"package")
        held = self.receive_one(broker)
        broker.acknowledge(held.receipt)
        must_precede(held.lease_end)
        self.assert_quiet(broker, 1.5 * self.term)

    @begun_again_when_late
    def test_failed_never_returns(self, connect: Connect) -> None:
        """``fail`` discards a delivery for good."""
        broker = connect()
        broker.enqueue(b"package")
        held = self.receive_one(broker)
        broker.fail(held.receipt)
        must_precede(held.lease_end)
        self.assert_quiet(broker, 1.5 * self.term)

    def test_acknowledge_many_in_batches(self, connect: Connect) -> None:
        """``acknowledge_many`` takes more than ``max_batch`` receipts, or none."""
        broker = connect(retry=LONG)
        count = broker.max_batch + 1
        broker.enqueue_many([b"%06d" % n for n in range(count)])
        held = self.receive(broker, count)
        broker.acknowledge_many([])
        broker.acknowledge_many([delivery.receipt for delivery in held])
        if broker.supports_counts:
            assert self.sizes(broker) == self.counted(broker, 0, 0)
        if broker.supports_release:
            # had one been kept, it would come now
            broker.release([delivery.receipt for delivery in held])
        assert broker.dequeue(limit=10, wait=0.2) == []

    def test_acknowledging_twice_is_harmless(self, broker: Broker) -> None:
        """The second acknowledgement raises nothing and removes nothing else."""
        broker.enqueue_many([b"a", b"b"])
        held = self.receive_one(broker)
        broker.acknowledge(held.receipt)
        broker.acknowledge(held.receipt)
        broker.acknowledge_many([held.receipt, held.receipt])
        other = self.receive_one(broker)
        assert {held.package, other.package} == {b"a", b"b"}

    @begun_again_when_late
    def test_late_acknowledgement_counts(self, connect: Connect) -> None:
        """The first to finish wins: an expired receipt still removes the package.

        A task that takes longer than ``retry`` is delivered several times; once any
        of these has ended it must not be delivered again.
        """
        late, holder = connect(), connect()
        self.require(late, "receipts")
        late.enqueue(b"package")
        stale = self.receive_one(late)
        current = self.receive_one(holder)
        late.acknowledge(stale.receipt)
        if not self.late_acknowledge:
            # then it is harmless at least, and the holder's own counts
            holder.acknowledge(current.receipt)
            must_precede(current.lease_end)
        self.assert_quiet(holder, 1.5 * self.term)
        holder.acknowledge(current.receipt)

    @begun_again_when_late
    def test_acknowledgement_by_another_instance(self, connect: Connect) -> None:
        """A receipt belongs to the delivery, not to the instance that claimed it."""
        claimer, acknowledger = connect(), connect()
        claimer.enqueue(b"package")
        held = self.receive_one(claimer)
        acknowledger.acknowledge(held.receipt)
        must_precede(held.lease_end)
        self.assert_quiet(claimer, 1.5 * self.term)
