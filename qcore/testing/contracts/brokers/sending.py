"""What a broker promises to those who send."""

from __future__ import annotations

import random
import time

import pytest

from ....brokers.base import Broker
from ....envelope import Delivery
from ....errors import PayloadTooLarge
from .case import BrokerCase, Connect

# Bytes that text, JSON, C strings, SQL and UTF-8 each get wrong.
AWKWARD = {
    "nul": b"a\x00b\x00",
    "only-nul": b"\x00",
    "high": bytes(range(256)),
    "lines": b"\r\n a \n\n",
    "quotes": b"'\"\\%s$1;--",
    "not-utf8": b"\xff\xfe\xc3\x28",
    "base64": b"AAEC/w==",
    "64-kB": random.Random(1).randbytes(65_536),
}


class SendingContract(BrokerCase):
    """Bytes, ids, batches, delays and limits."""

    @pytest.mark.parametrize("package", AWKWARD.values(), ids=AWKWARD.keys())
    def test_bytes_survive_unchanged(self, broker: Broker, package: bytes) -> None:
        """A package comes out as the bytes that went in."""
        broker.enqueue(package)
        assert self.receive_one(broker).package == package

    def test_the_largest_package_survives(self, broker: Broker) -> None:
        """A package of exactly ``max_payload`` bytes (else of 1 MB) is taken."""
        package = random.Random(2).randbytes(broker.max_payload or 1_048_576)
        broker.enqueue(package)
        assert self.receive_one(broker).package == package

    def test_ids_are_texts_in_order(self, broker: Broker) -> None:
        """``enqueue_many`` returns one id for each package, and they differ."""
        ids = broker.enqueue_many([b"a", b"b", b"c"])
        ids.append(broker.enqueue(b"d"))
        assert [type(id) for id in ids] == [str] * 4
        assert len(set(ids)) == 4
        if broker.supports_delete:
            assert broker.delete(ids[1])
            left = {delivery.package for delivery in self.receive(broker, 3)}
            assert left == {b"a", b"c", b"d"}

    def test_enqueue_many_of_nothing(self, broker: Broker) -> None:
        """No packages: no ids, and nothing stored."""
        assert broker.enqueue_many([]) == []
        assert broker.dequeue() == []

    def test_enqueue_many_splits_into_batches(self, broker: Broker) -> None:
        """More packages than ``max_batch`` are stored, each once, in order if kept."""
        sent = [b"%06d" % n for n in range(2 * broker.max_batch + 1)]
        assert len(broker.enqueue_many(sent)) == len(sent)
        came = [delivery.package for delivery in self.receive(broker, len(sent))]
        assert (came if broker.supports_order else sorted(came)) == sent

    def test_order_is_kept(self, broker: Broker) -> None:
        """With the flag ``order``, what was sent first is claimed first."""
        self.require(broker, "order")
        sent = [b"%02d" % n for n in range(12)]
        for package in sent:
            broker.enqueue(package)
        assert [self.receive_one(broker).package for _ in sent] == sent

    def test_queues_do_not_mix(self, connect: Connect, queue: str) -> None:
        """A package is seen in its own queue only, even with a similar name."""
        ours, theirs = connect(queue), connect(f"{queue}-2")
        ours.enqueue(b"ours")
        assert theirs.dequeue(limit=10) == []
        theirs.enqueue(b"theirs")
        assert self.receive_one(ours).package == b"ours"
        assert ours.dequeue(limit=10) == []
        assert self.receive_one(theirs).package == b"theirs"

    def test_delay_holds(self, broker: Broker) -> None:
        """A delayed package is hidden for its delay, then comes with attempt 1."""
        self.require(broker, "delay")
        sent = time.monotonic()
        broker.enqueue(b"later", delay=self.term)
        broker.enqueue(b"now")
        assert self.receive_one(broker).package == b"now"
        delivery = self._next(broker, b"later")
        # a service may count in milliseconds and round
        assert time.monotonic() - sent >= self.term - 0.05, "it came too early"
        assert delivery.attempt == 1

    def _next(self, broker: Broker, package: bytes) -> Delivery:
        while True:
            delivery = self.receive_one(broker)
            if delivery.package == package:
                return delivery

    def test_oversize_is_refused(self, broker: Broker) -> None:
        """A package over ``max_payload`` raises PayloadTooLarge and is not stored."""
        package = b"x" * (self._limit(broker) + 1)
        with pytest.raises(PayloadTooLarge, match=f"{len(package):,}"):
            broker.enqueue(package)
        assert broker.dequeue(limit=10) == []

    def test_oversize_in_a_batch_stores_none_of_it(self, broker: Broker) -> None:
        """One package over the limit refuses the whole ``enqueue_many``."""
        with pytest.raises(PayloadTooLarge):
            broker.enqueue_many([b"small", b"x" * (self._limit(broker) + 1)])
        assert broker.dequeue(limit=10) == []

    def test_oversize_is_refused_before_the_network(self, dead_broker: Broker) -> None:
        """PayloadTooLarge needs no service: it is a fact about the package."""
        with pytest.raises(PayloadTooLarge):
            dead_broker.enqueue(b"x" * (self._limit(dead_broker) + 1))

    def _limit(self, broker: Broker) -> int:
        if broker.max_payload is None:
            pytest.skip(f"{type(broker).__name__} sets no limit to packages")
        return broker.max_payload
