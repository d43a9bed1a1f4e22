"""Redis Cluster and Sentinel: a broker finds the node that has its queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis
from redis.crc import key_slot
from servers.redis import RedisServer

from qcore import Conf
from qcore.brokers.banded import banded
from qcore.brokers.bands import queue_of
from qcore.testing.speed import Patience
from qcore_redis.broker import RedisBroker

pytestmark = pytest.mark.service

Open = Callable[..., RedisBroker]
SLOTS = 16_384


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    """Two masters with half of the slots each."""
    nodes = [RedisServer("--cluster-enabled", "yes") for _ in range(2)]
    clients = [redis.Redis(port=node.port) for node in nodes]
    for node in nodes:
        node.start()
    halves = [range(SLOTS // 2), range(SLOTS // 2, SLOTS)]
    for client, half in zip(clients, halves, strict=True):
        client.execute_command("CLUSTER", "ADDSLOTS", *half)
    clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port)
    deadline = Patience(20)
    while any(_state(client) != "ok" for client in clients):
        assert not deadline.is_over(), "the cluster has not formed"
        time.sleep(0.05)
    yield nodes
    for client in clients:
        client.close()
    for node in nodes:
        node.close()


def _state(client: redis.Redis) -> str:
    return str(client.execute_command("CLUSTER INFO")["cluster_state"])


def test_a_queue_is_found_on_its_node(
    cluster: list[RedisServer], open_broker: Open
) -> None:
    """Whatever node is configured; the keys of one queue are on one node."""
    homes = set()
    for number in range(6):
        queue = f"queue-{number}"
        homes.add(key_slot(f"{{qcore:{queue}}}".encode()) < SLOTS // 2)
        for node in cluster:
            broker = open_broker({"port": node.port}, queue)
            broker.enqueue_many([b"a", b"b"])
            broker.enqueue(b"c", delay=0.01)
            found: list[bytes] = []
            while len(found) < 3:
                deliveries = broker.dequeue(10, wait=1)
                broker.acknowledge_many([one.receipt for one in deliveries])
                found += [one.package for one in deliveries]
            assert sorted(found) == [b"a", b"b", b"c"]
            assert (broker.queue_size(), broker.lock_size()) == (0, 0)
    assert homes == {True, False}, "all queues were on one node"


def test_bands_on_several_nodes_are_claimed_in_order(
    cluster: list[RedisServer], open_broker: Open
) -> None:
    """No script can read them all, so each is asked by itself."""
    queue = "queue-of-bands"
    slots = {
        key_slot(f"{{qcore:{queue_of(queue, band)}}}".encode()) for band in range(5)
    }
    assert min(slots) < SLOTS // 2 <= max(slots), "all bands were on one node"
    place = {"port": cluster[0].port}
    broker = banded(
        Conf.from_dict({"redis": place}), queue, lambda name: open_broker(place, name)
    )
    for priority in (0, -100, 100, -50, 50):
        broker.enqueue_with_priority([b"%d" % priority], priority)
    found = broker.dequeue(10)
    broker.acknowledge_many([one.receipt for one in found])
    assert [one.package for one in found] == [b"100", b"50", b"0", b"-50", b"-100"]
    assert broker.dequeue(10) == []


def test_snapshots_are_on_a_node_of_their_own(
    cluster: list[RedisServer], open_broker: Open
) -> None:
    for node in cluster:
        broker = open_broker({"port": node.port})
        broker.enqueue(b"a")
        broker.set_stat(f"at-{node.port}", b"value", ttl=5)
        assert broker.queue_size() == 1
        assert broker.get_stats(f"at-{node.port}") == [b"value"]
