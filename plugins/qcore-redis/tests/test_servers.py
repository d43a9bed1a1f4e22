"""The main promises of the broker on servers that other projects run.

The whole contract on each of them is for ``noxfile.py -s certify``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
import shared_fixtures
from servers.redis import PACKAGED, RedisServer

from qcore.testing.speed import begun_again_when_late, must_precede
from qcore_redis.broker import RedisBroker

pytestmark = pytest.mark.service

Open = Callable[..., RedisBroker]


@pytest.fixture(params=PACKAGED)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Each of the servers that packages carry; its data survives a kill."""
    kind = request.param
    make = partial(RedisServer, appendonly=True, kind=kind)
    with ExitStack() as stack:
        run = contextmanager(shared_fixtures.run_server)
        yield stack.enter_context(run(kind, make))


class TestServers:
    stretch = 1.0

    @begun_again_when_late
    def test_the_main_promises(self, server: RedisServer, open_broker: Open) -> None:
        """Bulk, order, delay, leases, releases, counts, a kill and what is malformed."""
        the_main_promises(
            server, open_broker({"port": server.port}, retry=self.stretch)
        )


def the_main_promises(server: RedisServer, broker: RedisBroker) -> None:
    broker.enqueue_many([b"%04d" % n for n in range(2500)])
    broker.enqueue(b"later", delay=0.5)
    claimed = time.monotonic()
    first = broker.dequeue(1000)
    assert [one.package for one in first] == [b"%04d" % n for n in range(1000)]
    broker.acknowledge_many([one.receipt for one in first])
    held = broker.dequeue(10)
    sizes = broker.queue_size(), broker.lock_size()
    lost = broker.extend([one.receipt for one in held])
    broker.release([one.receipt for one in held])
    must_precede(claimed + broker.lease)
    assert sizes == (1491, 10)
    assert lost == set()
    again = broker.dequeue(10)
    assert [one.attempt for one in again] == [2] * 10
    assert {one.package for one in again} == {one.package for one in held}
    server.restart(kill=True)
    left = {b"%04d" % n for n in range(1000, 2500)} | {b"later"}
    attempts: dict[bytes, int] = {}
    while left - attempts.keys():
        found = broker.dequeue(1000, wait=2)
        attempts = {one.package: one.attempt for one in found} | attempts
        broker.acknowledge_many([one.receipt for one in found])
    assert attempts.keys() == left
    assert {attempts[one.package] for one in held} == {3}
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)
    assert broker.oldest_waiting() is None
    broker.set_stat("stat:a", b"value", 5)
    assert broker.get_stats("stat:") == [b"value"]
