"""Five bands of a queue on Redis: what a broker promises of priorities, on a real service."""

from __future__ import annotations

import pytest
import redis

from qcore import Conf
from qcore.brokers.banded import banded
from qcore.testing.contracts.brokers.priorities import PrioritiesContract
from qcore_redis.broker import RedisBroker


class TestBands(PrioritiesContract):
    """The promises, on streams of Redis."""

    exact_priority = False

    @pytest.fixture
    def make_broker(self, redis_server):
        def make(queue=None, **settings):
            place = {"host": "127.0.0.1", "port": redis_server.port}
            conf = Conf.from_dict({"redis": place, **settings})
            return banded(
                conf, queue or conf.queue, lambda name: RedisBroker(conf, name)
            )

        return make

    def test_no_band_is_asked_by_itself(self, connect, monkeypatch):
        consumer, sender = connect(retry=60), connect(retry=60)
        for priority in (0, -100, 100, 50, 0):
            sender.enqueue_with_priority([b"%d" % priority], priority)

        def dequeue(*_):
            raise AssertionError("a band was asked")

        monkeypatch.setattr(RedisBroker, "dequeue", dequeue)
        first = consumer.dequeue(limit=3)
        assert [one.package for one in first] == [b"100", b"50", b"0"]
        rest = consumer.dequeue(limit=3)
        assert [one.package for one in rest] == [b"0", b"-100"]
        consumer.acknowledge_many([one.receipt for one in [*first, *rest]])
        assert consumer.dequeue(limit=3) == []
        assert (consumer.queue_size(), consumer.lock_size()) == (0, 0)

    def test_a_band_whose_stream_is_gone_stops_no_other(self, connect, redis_server):
        consumer, sender = connect(retry=60), connect(retry=60)
        sender.enqueue_with_priority([b"1"], 100)
        assert self.receive_one(consumer).package == b"1"
        sender.enqueue_with_priority([b"2"], 100)
        client = redis.Redis(port=redis_server.port)
        client.delete(*client.keys(f"{{qcore:{consumer.queue}--high}}*"))
        client.close()
        sender.enqueue_with_priority([b"3"], 50)
        sender.enqueue_with_priority([b"4"], 0)
        found = [self.receive_one(consumer).package for _ in range(3)]
        assert found == [b"2", b"3", b"4"]

    def test_a_waiting_consumer_finds_what_comes_in_any_band(self, connect):
        """It waits at the usual band, and asks the others in between."""
        consumer, sender = connect(retry=60), connect(retry=60)
        for priority in (100, 50, 0, -50, -100):
            assert consumer.dequeue(limit=1) == []
            sender.enqueue_with_priority([b"%d" % priority], priority)
            assert self.receive_one(consumer).package == b"%d" % priority

    def test_a_claim_asks_for_the_wakes_of_all_bands_at_once(
        self, own_redis_server, monkeypatch
    ):
        # a server of its own: it counts the commands of everybody
        place = {"host": "127.0.0.1", "port": own_redis_server.port}
        conf = Conf.from_dict({"redis": place, "retry": 60})
        consumer, sender = (
            banded(conf, conf.queue, lambda name: RedisBroker(conf, name))
            for _ in range(2)
        )
        sender.enqueue_many([b"%d" % number for number in range(20)])
        assert len(consumer.dequeue(limit=2)) == 2  # makes the groups, and sweeps
        # sweeps come by time, and would count
        monkeypatch.setattr(RedisBroker, "is_sweep_due", False)
        server = redis.Redis(port=own_redis_server.port)
        server.config_resetstat()
        assert len(consumer.dequeue(limit=10)) == 10
        calls = {
            # Redis 6 counts xinfo as a whole, later ones its parts
            name.removeprefix("cmdstat_").partition("|")[0]: stats["calls"]
            for name, stats in server.info("commandstats").items()
        }
        for one in (server, consumer, sender):
            one.close()
        # one read in the script, for five bands; one of the band that has packages
        assert calls["xreadgroup"] == 2
        assert calls["evalsha"] == 1
        assert calls["xinfo"] == calls["xrange"] == 1
