"""Several nodes: failover, receipts that find their way, nodes that are exchanged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from servers.base import free_port
from servers.disque import DisqueServer, running_nodes

from qcore.errors import BrokerUnavailable
from qcore.testing.speed import in_time
from qcore_disque.broker import DisqueBroker
from qcore_disque.census import count

pytestmark = pytest.mark.service

if TYPE_CHECKING:
    from qcore.testing.proxy import FaultProxy

Open = Callable[..., DisqueBroker]


@pytest.fixture
def pair() -> Iterator[list[DisqueServer]]:
    """Two nodes that have not met, each with its jobs on disk."""
    with running_nodes(2, appendonly=True) as running:
        yield running


def address_in_use(broker: DisqueBroker) -> str:
    return str(broker._patient.connected().address)


def test_the_next_node_stands_in_for_one_that_is_not_there(
    disque_server: DisqueServer, open_broker: Open
) -> None:
    """Whatever order chance gives."""
    for _ in range(4):
        dead = [f"127.0.0.1:{free_port()}" for _ in range(3)]
        broker = open_broker(*dead, disque_server.address)
        broker.enqueue(b"package")
        assert broker.dequeue(wait=5)[0].package == b"package"


def test_a_node_that_dies_is_left(pair: list[DisqueServer], open_broker: Open) -> None:
    """The call that meets the end of a node may fail, and no other."""
    broker = open_broker(*(node.address for node in pair))
    assert broker.dequeue() == []
    first = address_in_use(broker)
    (dying,) = (node for node in pair if node.address == first)
    (other,) = (node for node in pair if node.address != first)
    dying.kill()
    assert broker.dequeue() == []
    assert address_in_use(broker) == other.address
    broker.enqueue(b"package")
    assert broker.dequeue(wait=5)[0].package == b"package"
    dying.restart()
    assert address_in_use(broker) == other.address, "it left a node that answers"


def test_a_node_that_dies_under_a_waiting_cluster(
    pair: list[DisqueServer],
    open_broker: Open,
    fault_proxy: Callable[[int], FaultProxy],
) -> None:
    """The wait ends with an error, at once; the next call uses the other node."""
    proxies = [fault_proxy(node.port) for node in pair]
    broker = open_broker(*(f"127.0.0.1:{proxy.port}" for proxy in proxies))
    broker.dequeue()
    used = address_in_use(broker)
    (proxy,) = (proxy for proxy in proxies if used.endswith(f":{proxy.port}"))
    proxy.fault("cut", 0)
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        broker.dequeue(wait=5)
    assert broker.dequeue() == []
    assert address_in_use(broker) != used


def test_no_node_at_all(open_broker: Open) -> None:
    """The message names each of them, and says what to do."""
    nodes = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    broker = open_broker(*nodes)
    for call in (broker.ping, broker.queue_size, lambda: broker.enqueue(b"x")):
        with pytest.raises(BrokerUnavailable, match="none of the 2 nodes") as raised:
            call()
        assert all(node in str(raised.value) for node in nodes)
        assert "Q_CLUSTER['disque_nodes']" in str(raised.value)


def test_a_silent_node_costs_a_web_request_little(
    pair: list[DisqueServer],
    open_broker: Open,
    fault_proxy: Callable[[int], FaultProxy],
) -> None:
    proxy = fault_proxy(pair[0].port)
    proxy.fault("black-hole")
    broker = open_broker(f"127.0.0.1:{proxy.port}", pair[1].address)
    started = time.monotonic()
    broker.enqueue(b"package")
    assert in_time(time.monotonic() - started, 3)
    assert pair[1].ask("QLEN", broker.queue) == 1


def test_a_node_that_is_leaving_its_cluster(
    pair: list[DisqueServer], open_broker: Open
) -> None:
    """It takes nothing new and keeps nobody waiting, though it never says LEAVING to who sends."""
    pair[0].ask("CLUSTER", "LEAVING", "yes")
    for _ in range(4):  # in every order of the nodes, sooner or later
        broker = open_broker(*(node.address for node in pair))
        broker.enqueue(b"new")
        broker.enqueue_many([b"newer", b"newest"])
        assert pair[0].ask("QLEN", broker.queue) == 0
        assert len(broker.dequeue(10, wait=5)) == 3


def test_all_nodes_are_leaving(disque_server: DisqueServer, open_broker: Open) -> None:
    broker = open_broker(disque_server.address)
    disque_server.ask("CLUSTER", "LEAVING", "yes")
    try:
        with pytest.raises(
            BrokerUnavailable, match=r"CLUSTER FORGET.*disque_replicate"
        ):
            broker.enqueue(b"package")
        with pytest.raises(BrokerUnavailable, match="leaving its cluster"):
            broker.dequeue(wait=0.5)
    finally:
        disque_server.ask("CLUSTER", "LEAVING", "no")


def test_receipts_find_the_node_that_knows_the_job(
    pair: list[DisqueServer], open_broker: Open
) -> None:
    """A recorder and a keeper may use another node than the pusher does."""
    nodes = [node.address for node in pair]
    pusher = open_broker(nodes[0], retry=60)
    pusher.enqueue_many([b"a", b"b", b"c"])
    held = [delivery.receipt for delivery in pusher.dequeue(3)]
    for _ in range(6):  # in every order of the nodes, sooner or later
        other = open_broker(*nodes, queue=pusher.queue, retry=60)
        assert other.extend(held) == set()
    other.release(held[:1])
    other.acknowledge_many(held[1:])
    assert (pusher.queue_size(), pusher.lock_size()) == (1, 0)


def test_upkeep_is_of_all_nodes(
    pair: list[DisqueServer], open_broker: Open, caplog: pytest.LogCaptureFixture
) -> None:
    both = open_broker(*(node.address for node in pair))
    ids = []
    for node in pair:
        one = open_broker(node.address, queue=both.queue)
        ids += one.enqueue_many([b"a", b"b"])
        one.enqueue(b"later", delay=60)
        one.dequeue()
    assert (both.queue_size(), both.lock_size()) == (4, 2)
    assert [both.delete(id) for id in (ids[1], ids[3])] == [True, True]
    assert both.delete("none of ours") is False
    assert (both.queue_size(), both.lock_size()) == (2, 2)
    pair[0].kill()
    assert (both.queue_size(), both.lock_size()) == (1, 1)
    assert f"{pair[0].address} cannot be reached" in caplog.text
    pair[0].restart()
    both.purge_queue()
    assert (both.queue_size(), both.lock_size()) == (0, 0)


class Scripted:
    """Stands for the connection to one node of a cluster, with one job."""

    def __init__(self, job: list[object], length: int) -> None:
        self._job, self._length = job, length

    def ask(self, *commands: tuple[object, ...]) -> list[object]:
        return [self._reply(*command) for command in commands]

    def _reply(self, name: str, *words: object) -> object:
        if name == "JSCAN":
            is_queued = self._length > 0
            if "active" in words:
                return [b"0", [] if is_queued else [self._job]]
            return [b"0", [self._job[1]] if is_queued else []]
        return {"TIME": [b"9999999999", b"0"], "QLEN": self._length}[name]


def test_copies_of_a_waiting_job_count_once(
    disque_server: DisqueServer, open_broker: Open
) -> None:
    """In a cluster a job waits on one node; on those with copies it is "active"."""
    broker = open_broker(disque_server.address)
    job = disque_server.ask("SHOW", broker.enqueue(b"package"))
    assert isinstance(job, list)
    copy = [b"active" if field == b"queued" else field for field in job]
    nodes = [Scripted(job, 1), Scripted(copy, 0), Scripted(copy, 0)]
    for order in (nodes, nodes[::-1]):
        assert count(order, broker.queue, copies=True) == (1, 0)  # type: ignore[arg-type]
    claimed = [Scripted(copy, 0), Scripted(copy, 0)]
    assert count(claimed, broker.queue, copies=True) == (0, 1)  # type: ignore[arg-type]


def test_a_node_that_comes_back_as_another(
    own_disque_server: DisqueServer,
    open_broker: Open,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is said once; what it held is lost to `extend`, and harmless to all else."""
    caplog.set_level(logging.WARNING, "qcore.broker")
    broker = open_broker(own_disque_server.address, retry=60)
    broker.enqueue_many([b"a", b"b"])
    held = [delivery.receipt for delivery in broker.dequeue(2)]

    own_disque_server.kill()
    own_disque_server.restart()
    assert broker.extend(held) == set()
    assert caplog.messages == [], "it came back as itself"

    own_disque_server.kill()
    for path in own_disque_server.folder.glob("*"):
        if path.name != "log":
            path.unlink()
    own_disque_server.restart()
    assert broker.extend(held) == set(held)
    assert "came back as another one" in caplog.text
    broker.acknowledge_many(held)
    broker.release(held)
    broker.release(held, delay=1)
    broker.enqueue(b"new")
    assert broker.dequeue(10, wait=5)[0].package == b"new"
    warnings = [m for m in caplog.messages if "came back" in m]
    assert len(warnings) <= 2, "each of the two connections says it once"
