"""Five bands of a queue on Redis: what a broker promises of priorities, on a real service."""

from __future__ import annotations

import pytest

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

    def test_a_waiting_consumer_finds_what_comes_in_any_band(self, connect):
        """It waits at the usual band, and asks the others in between."""
        consumer, sender = connect(retry=60), connect(retry=60)
        for priority in (100, 50, 0, -50, -100):
            assert consumer.dequeue(limit=1) == []
            sender.enqueue_with_priority([b"%d" % priority], priority)
            assert self.receive_one(consumer).package == b"%d" % priority
