"""What a broker promises to those who look after a queue."""

from __future__ import annotations

import secrets
import time

import pytest

from ....brokers.base import Broker
from ....errors import ConfigError
from ...speed import Patience, begun_again_when_late, must_precede
from .case import LONG, BrokerCase, Connect


class UpkeepContract(BrokerCase):
    """Counting, deleting, closing, snapshots and options."""

    def test_counts(self, connect: Connect) -> None:
        """While nothing moves, ``queue_size`` and ``lock_size`` are exact.

        Without ``counts_claimed`` only ``queue_size`` is asked.
        """
        broker = connect(retry=LONG)
        self.require(broker, "counts")
        sizes = [self.sizes(broker)]
        broker.enqueue_many([b"a", b"b", b"c"])
        sizes.append(self.sizes(broker))
        held = self.receive(broker, 2)
        sizes.append(self.sizes(broker))
        broker.acknowledge(held[0].receipt)
        sizes.append(self.sizes(broker))
        broker.fail(held[1].receipt)
        sizes.append(self.sizes(broker))
        wanted = [(0, 0), (3, 0), (1, 2), (1, 1), (1, 0)]
        assert sizes == [self.counted(broker, *pair) for pair in wanted]

    def test_delayed_count_as_waiting(self, broker: Broker) -> None:
        """A delayed package is one that waits, for ``queue_size``."""
        self.require(broker, "counts", "delay")
        broker.enqueue(b"later", delay=900)  # the longest that SQS takes
        assert self.sizes(broker) == self.counted(broker, 1, 0)

    def test_released_count_as_waiting(self, connect: Connect) -> None:
        """A released delivery waits again."""
        broker = connect(retry=LONG)
        self.require(broker, "counts", "release")
        broker.enqueue(b"package")
        broker.release([self.receive_one(broker).receipt])
        assert self.sizes(broker) == self.counted(broker, 1, 0)

    def test_oldest_waiting(self, connect: Connect) -> None:
        """``oldest_waiting`` is the age of the oldest package that may be claimed."""
        broker = connect(retry=LONG)
        assert broker.oldest_waiting() is None
        began = time.monotonic()
        broker.enqueue(b"first")
        if broker.oldest_waiting() is None:
            pytest.skip(f"{type(broker).__name__} does not tell how old packages are")
        time.sleep(0.3)
        again = time.monotonic()
        broker.enqueue(b"second")
        age = broker.oldest_waiting()
        # a service may count in whole milliseconds
        assert age is not None
        assert 0.29 <= age <= time.monotonic() - began + 0.01
        self.receive_one(broker)
        age = broker.oldest_waiting()
        assert age is not None, "the second package still waits"
        assert age <= time.monotonic() - again + 0.01
        self.receive_one(broker)
        assert broker.oldest_waiting() is None, "claimed packages do not wait"
        if broker.supports_delay:
            broker.enqueue(b"later", delay=900)
            assert broker.oldest_waiting() is None, "delayed packages do not wait"

    def test_clock(self, broker: Broker) -> None:
        """``clock`` is in seconds since the epoch, and goes on."""
        begun = time.monotonic()
        first = broker.clock()
        if first is None:
            pytest.skip(f"{type(broker).__name__} does not tell the time")
        assert abs(first - time.time()) < 86_400
        time.sleep(0.05)
        second = broker.clock()
        assert second is not None
        assert 0.01 < second - first < time.monotonic() - begun + 1

    def test_diagnose(self, broker: Broker) -> None:
        """``diagnose`` returns findings: a line each, advice with each that is not ok."""
        for found in broker.diagnose():
            assert found.level in {"ok", "warning", "error"}
            assert found.fact.strip() == found.fact != ""
            assert len(found.fact.splitlines()) == 1
            assert found.level == "ok" or found.advice
            shown = repr(found)
            assert self.secret is None or self.secret not in shown

    def test_delete(self, broker: Broker) -> None:
        """``delete`` removes the package of an id, once, and no other."""
        self.require(broker, "delete")
        ids = [broker.enqueue(package) for package in (b"a", b"b")]
        assert broker.delete(ids[0]) is True
        assert broker.delete(ids[0]) is False
        assert self.receive_one(broker).package == b"b"
        assert broker.dequeue() == []

    def test_delete_of_the_delayed(self, broker: Broker) -> None:
        """``delete`` finds a package that is still delayed."""
        self.require(broker, "delete", "delay")
        id = broker.enqueue(b"later", delay=self.term)
        assert broker.delete(id) is True
        self.assert_quiet(broker, 1.5 * self.term)

    @pytest.mark.parametrize("method", ["purge_queue", "delete_queue"])
    def test_emptying(self, connect: Connect, queue: str, method: str) -> None:
        """``purge_queue`` and ``delete_queue`` remove everything, claimed included.

        The queue works on, and other queues keep their packages.
        """
        broker, neighbour = connect(queue), connect(f"{queue}-2")
        broker.enqueue_many([b"a", b"b"])
        neighbour.enqueue(b"theirs")
        held = self.receive_one(broker)
        getattr(broker, method)()
        self.assert_quiet(broker, 1.5 * self.term)
        broker.acknowledge(held.receipt)  # too late, and harmless
        broker.enqueue(b"new")
        assert self.receive_one(broker).package == b"new"
        assert self.receive_one(neighbour).package == b"theirs"

    def test_purging_nothing(self, broker: Broker) -> None:
        """An empty queue, or one that was never used, can be purged and deleted."""
        broker.purge_queue()
        broker.delete_queue()
        broker.purge_queue()
        assert broker.dequeue() == []

    def test_ping(self, broker: Broker) -> None:
        """``ping`` is True while the service answers."""
        assert broker.ping() is True

    def test_info(self, broker: Broker) -> None:
        """``info`` is one line of text without secrets."""
        text = broker.info()
        assert isinstance(text, str)
        assert text.strip() == text != ""
        assert len(text.splitlines()) == 1
        assert self.secret is None or self.secret not in text
        assert self.secret is None or self.secret not in repr(broker)

    def test_closing_twice(self, broker: Broker) -> None:
        """``close`` may be called at any time; the next call connects again."""
        broker.close()
        broker.enqueue(b"package")
        broker.close()
        broker.close()
        assert self.receive_one(broker).package == b"package"

    def test_lease_is_the_setting(self, connect: Connect) -> None:
        """``broker.lease`` is ``retry`` in seconds, ``broker.queue`` its queue."""
        broker = connect("contract-lease", retry=47)
        assert (broker.lease, broker.queue) == (47.0, "contract-lease")

    def test_unknown_option_is_refused(self, connect: Connect) -> None:
        """A misspelt option raises ConfigError that names it, before connecting."""
        if self.misspelt is None:
            pytest.skip("the plugin's tests give no misspelt setting")
        settings, word = self.misspelt
        with pytest.raises(ConfigError, match=word):
            connect(**settings)

    # -- status snapshots ----------------------------------------------------
    def test_stats_by_prefix(self, connect: Connect) -> None:
        """``get_stats`` finds snapshots by the letters their keys begin with."""
        writer, reader = connect(), connect()
        self.require(writer, "stats")
        prefix = f"c%_*[{secrets.token_hex(4)}"  # no character of it is a wildcard
        writer.set_stat(f"{prefix}:1", b"\x00one", ttl=60)
        writer.set_stat(f"{prefix}:2", b"two", ttl=60)
        writer.set_stat(f"{prefix}:2", b"two again", ttl=60)
        writer.set_stat(prefix.replace("*", "x"), b"not ours", ttl=60)
        writer.set_stat(prefix.upper(), b"not ours either", ttl=60)
        writer.set_stat(f"x{prefix}", b"nor this", ttl=60)
        assert sorted(reader.get_stats(prefix)) == [b"\x00one", b"two again"]
        assert reader.get_stats(f"{prefix}:3") == []

    @begun_again_when_late
    def test_stats_expire(self, broker: Broker) -> None:
        """A snapshot is gone after its ``ttl``, and not before."""
        self.require(broker, "stats")
        prefix = f"c-{secrets.token_hex(6)}"
        kept = time.monotonic()
        broker.set_stat(f"{prefix}:short", b"short", ttl=self.stretch)
        broker.set_stat(f"{prefix}:long", b"long", ttl=3600)
        found = sorted(broker.get_stats(prefix))
        must_precede(kept + self.stretch, "the ttl")
        assert found == [b"long", b"short"]
        patience = Patience(self.stretch + self.patience)
        while broker.get_stats(prefix) != [b"long"]:
            assert not patience.is_over(), "the short one has not expired"
            time.sleep(0.1)
