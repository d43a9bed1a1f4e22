"""What a broker promises of entries that no broker has written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from ....brokers.base import Broker
from ....brokers.tools import MOST_ATTEMPTS
from ....envelope import Delivery
from ...speed import Patience, begun_again_when_late, must_precede
from .case import LONG, BrokerCase, Connect

#: Names of what is wrong -> what puts such an entry into the queue of a broker.
Malformed = Mapping[str, Callable[[Broker], None]]


class MalformedContract(BrokerCase):
    """Somebody has put something into the queue with another program, or by hand."""

    @pytest.fixture
    def malformed(self) -> Malformed:
        """Return callables ``(broker)`` by the name of what is wrong.

        Each puts one entry into ``broker.queue`` with the service's own client, as no
        ``enqueue`` would: without a body, with a body of another type, with wrong
        base64, with a count that is no number, without its fields.
        """
        pytest.skip("the plugin's tests give no malformed entries")

    @begun_again_when_late
    def test_malformed_entries_stop_nobody(
        self, connect: Connect, malformed: Malformed
    ) -> None:
        """A malformed entry is handed out as bytes, or set aside; the others come.

        Whoever verifies deliveries finds that it is no package, and calls ``fail``; then
        it never comes again. It makes ``dequeue`` raise nothing, and is not left to be
        claimed again and again.
        """
        broker = connect()
        sound = {b"before"}
        broker.enqueue(b"before")
        for number, put in enumerate(malformed.values()):
            put(broker)
            sound.add(b"after %d" % number)
            broker.enqueue(b"after %d" % number)
        self._work_off(broker, sound)
        self.assert_quiet(broker, 1.5 * self.term)
        if broker.supports_counts:
            patience = Patience(self.patience)
            nothing = self.counted(broker, 0, 0)
            while (sizes := self.sizes(broker)) != nothing:
                assert not patience.is_over(), f"{sizes} are left of nothing"
                self._work_off(broker, set())

    def test_malformed_entries_can_be_given_back(
        self, connect: Connect, malformed: Malformed
    ) -> None:
        """A delivery of a malformed entry can be prolonged and given back as any other."""
        broker = connect(retry=LONG)
        self.require(broker, "release", "extend")
        for put in malformed.values():
            put(broker)
        first = broker.dequeue(len(malformed), wait=self.lease)
        if not first:
            pytest.skip(f"{type(broker).__name__} sets malformed entries aside")
        receipts = [delivery.receipt for delivery in first]
        assert broker.extend(receipts) == set()
        broker.release(receipts)
        again = self.receive(broker, len(first))
        assert sorted(d.package for d in again) == sorted(d.package for d in first)
        assert all(delivery.attempt > 1 for delivery in again)
        broker.acknowledge_many([delivery.receipt for delivery in again])

    def _work_off(self, broker: Broker, sound: set[bytes]) -> None:
        """Claim until all the sound ones have come; fail the others for good."""
        left = set(sound)
        patience = Patience(self.term + self.patience)
        while True:
            found = broker.dequeue(limit=10, wait=0.2)
            for delivery in found:
                _judge(delivery)
                if delivery.package in sound:
                    left.discard(delivery.package)
                    broker.acknowledge(delivery.receipt)
                else:
                    broker.fail(delivery.receipt)
                must_precede(delivery.lease_end)
            if not found and not left:
                return
            assert not patience.is_over(), f"{sorted(left)} did not come"


def _judge(delivery: Delivery) -> None:
    """See that a delivery is made as every delivery is."""
    assert type(delivery.package) is bytes, f"{delivery.package!r} is not bytes"
    assert type(delivery.attempt) is int, f"the attempt is {delivery.attempt!r}"
    assert 1 <= delivery.attempt <= MOST_ATTEMPTS
    assert type(delivery.lease_end) is float
    hash(delivery.receipt)
