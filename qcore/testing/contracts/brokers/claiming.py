"""What a broker promises to those who claim."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from ....brokers.base import Broker
from ....envelope import Delivery
from ...speed import Patience, quickest, stretched
from .case import BrokerCase, Connect


class ClaimingContract(BrokerCase):
    """Limits, waiting, bulk and the fields of a delivery."""

    #: Seconds by which ``dequeue`` may overstay ``wait``; services round to seconds.
    overstay = 1.0

    def test_empty_queue_gives_nothing(self, broker: Broker) -> None:
        """``dequeue`` on an empty queue returns ``[]`` at once."""
        broker.dequeue()  # connects
        came: list[Delivery] = []
        spent = quickest(lambda: came.extend(broker.dequeue(limit=5)), self.overstay)
        assert came == []
        assert spent < self.overstay

    def test_wait_is_respected(self, broker: Broker) -> None:
        """``dequeue`` returns within ``wait`` seconds when nothing comes."""
        broker.dequeue()  # connects
        came: list[Delivery] = []
        bound = 0.3 + self.overstay
        spent = quickest(lambda: came.extend(broker.dequeue(wait=0.3)), bound)
        assert came == []
        assert spent < bound

    def test_blocking_waits(self, broker: Broker) -> None:
        """A blocking broker does wait, so that its caller does not spin."""
        self.require(broker, "blocking")
        broker.dequeue()  # connects
        started = time.monotonic()
        assert broker.dequeue(wait=1.5) == []
        # it may round 1.5 seconds to whole ones
        assert time.monotonic() - started >= 0.95

    def test_blocking_wakes(self, connect: Connect) -> None:
        """A waiting ``dequeue`` wakes when another instance enqueues."""
        producer = connect()
        self.require(producer, "blocking")
        producer.ping()  # connected before the clock runs
        patience = stretched(self.patience)
        found: list[tuple[float, list[Delivery]]] = []
        waiting = threading.Event()

        def wait_for_it() -> None:
            with closing(connect()) as consumer:
                consumer.ping()
                waiting.set()
                deliveries = consumer.dequeue(wait=2 * patience)
                found.append((time.monotonic(), deliveries))

        thread = threading.Thread(target=wait_for_it, daemon=True)
        thread.start()
        assert waiting.wait(patience), "the consumer has not connected"
        time.sleep(0.3)  # for the consumer to reach the service
        sent = time.monotonic()
        producer.enqueue(b"wake up")
        thread.join(3 * patience)
        assert found, "dequeue has not returned after its wait"
        woken, deliveries = found[0]
        assert [delivery.package for delivery in deliveries] == [b"wake up"]
        assert woken - sent < patience, "it slept although a package came"

    def test_limit_is_kept(self, broker: Broker) -> None:
        """One call never claims more than ``limit``, and loses none of the rest."""
        sent = [b"%d" % n for n in range(5)]
        broker.enqueue_many(sent)
        came: list[bytes] = []
        patience = Patience(self.patience)
        while len(came) < len(sent) and not patience.is_over():
            found = broker.dequeue(limit=2, wait=0.2)
            assert len(found) <= 2
            came += [delivery.package for delivery in found]
            broker.acknowledge_many([delivery.receipt for delivery in found])
        assert sorted(came) == sent

    def test_limit_over_the_batch(self, broker: Broker) -> None:
        """A ``limit`` above ``max_batch`` is no error."""
        broker.enqueue(b"one")
        patience = Patience(self.patience)
        found: list[Delivery] = []
        while not found and not patience.is_over():
            found = broker.dequeue(limit=broker.max_batch + 5, wait=0.2)
        assert [delivery.package for delivery in found] == [b"one"]

    def test_bulk_claims_several(self, broker: Broker) -> None:
        """With the flag ``bulk``, one call claims more than one package."""
        self.require(broker, "bulk")
        sent = [b"%03d" % n for n in range(min(broker.max_batch, 20))]
        broker.enqueue_many(sent)
        most = 0
        left = len(sent)
        patience = Patience(self.patience)
        while left and not patience.is_over():
            found = broker.dequeue(limit=left, wait=0.2)
            most, left = max(most, len(found)), left - len(found)
        assert left == 0
        assert most > 1, "every call claimed one package"

    def test_first_attempt_is_one(self, broker: Broker) -> None:
        """``attempt`` of a package that was never claimed before is 1."""
        broker.enqueue_many([b"a", b"b"])
        attempts = [delivery.attempt for delivery in self.receive(broker, 2)]
        assert attempts == [1, 1]

    def test_receipts_are_distinct_keys(self, broker: Broker) -> None:
        """Receipts can be kept in a dictionary, and no two deliveries share one."""
        broker.enqueue_many([b"same", b"same", b"same"])
        receipts = {delivery.receipt for delivery in self.receive(broker, 3)}
        assert len(receipts) == 3

    def test_lease_end_is_not_too_late(self, broker: Broker) -> None:
        """``lease_end`` is on the monotonic clock, at most a lease after the claim."""
        self.require(broker, "receipts")
        broker.enqueue(b"package")
        asked = time.monotonic()
        delivery = self.receive_one(broker)
        answered = time.monotonic()
        assert asked < delivery.lease_end <= answered + broker.lease
