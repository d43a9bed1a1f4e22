"""Copies of tasks on several nodes, and tasks that wait on a node that nobody uses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import redis
from servers.base import free_port
from servers.disque import DisqueServer, running_nodes

from qcore.errors import BrokerUnavailable, ConfigError, NoReply
from qcore.testing.speed import Patience
from qcore_disque import errors
from qcore_disque.broker import DisqueBroker

Open = Callable[..., DisqueBroker]


@pytest.fixture
def trio() -> Iterator[list[DisqueServer]]:
    """Three nodes."""
    with running_nodes(3) as running:
        yield running


def pretend(nodes: list[DisqueServer], size: int, reachable: int) -> None:
    for node in nodes:
        node.ask("CLUSTER", "PRETEND", size, reachable)


@pytest.mark.fault("D21")
@pytest.mark.parametrize("reachable", [1, 2])
def test_fewer_copies_where_a_node_is_gone(
    trio: list[DisqueServer],
    open_broker: Open,
    caplog: pytest.LogCaptureFixture,
    reachable: int,
) -> None:
    """A node that is dead counts until CLUSTER FORGET; enqueueing goes on, and says so."""
    pretend(trio, 3, reachable)
    broker = open_broker(*(node.address for node in trio))
    with caplog.at_level(logging.WARNING, "qcore.broker"):
        assert len(set(broker.enqueue_many([b"%d" % n for n in range(250)]))) == 250
        broker.enqueue(b"one")
    assert caplog.text.count("CLUSTER FORGET") == 1
    assert f"have {reachable} copies" in caplog.text
    found = [one.package for one in receive(broker, 251)]
    assert sorted(found) == sorted([b"one", *(b"%d" % n for n in range(250))])


def receive(broker: DisqueBroker, count: int) -> list:
    found: list = []
    patience = Patience(20)
    while len(found) < count:
        assert not patience.is_over(), f"{len(found)} of {count} came"
        found += broker.dequeue(count - len(found), wait=1)
    return found


def test_the_copies_that_the_project_wants(
    trio: list[DisqueServer], open_broker: Open
) -> None:
    """No fewer are taken for it, and the message names the key."""
    pretend(trio, 3, 2)
    nodes = [node.address for node in trio]
    open_broker(*nodes, disque_replicate=2).enqueue(b"package")
    broker = open_broker(*nodes, disque_replicate=3)
    with pytest.raises(BrokerUnavailable, match="'disque_replicate'") as raised:
        broker.enqueue_many([b"a", b"b"])
    assert (raised.value.stored, raised.value.unsure) == (0, 0)
    for wrong in (0, "2", 65_536):
        with pytest.raises(ConfigError, match="disque_replicate"):
            open_broker(*nodes, disque_replicate=wrong)


def test_copies_that_come_late_are_not_known() -> None:
    """That refusal comes after copies were sent; the others before anything is stored."""
    late = redis.ResponseError(
        "NOREPL Timeout reached before replicating to the requested number of nodes"
    )
    few = redis.ResponseError("NOREPL Not enough reachable nodes for the requested")
    assert (errors.is_unsure(late), errors.lacks_copies(late)) == (True, False)
    assert (errors.is_unsure(few), errors.lacks_copies(few)) == (False, True)
    assert isinstance(errors.translate(late, "h:1"), NoReply)
    assert not isinstance(errors.translate(few, "h:1"), NoReply)


@pytest.mark.fault("D21")
def test_tasks_of_a_node_that_is_not_in_use(
    trio: list[DisqueServer], open_broker: Open
) -> None:
    """A cluster looks at all nodes, busy or idle, and a dead one delays nobody."""
    dead = f"127.0.0.1:{free_port()}"
    broker = open_broker(dead, *(node.address for node in trio), retry=60)
    assert broker.dequeue() == []
    for node in trio:
        open_broker(node.address, queue=broker.queue).enqueue(b"there")
    assert [one.package for one in receive(broker, 3)] == [b"there"] * 3
    # while the node in use has more than enough
    used = broker._patient.connected().address
    (home,) = (node for node in trio if node.address == str(used))
    other = next(node for node in trio if node is not home)
    open_broker(home.address, queue=broker.queue).enqueue_many([b"busy"] * 200)
    open_broker(other.address, queue=broker.queue).enqueue(b"waits")
    broker._others_at = 0.0
    assert b"waits" in {one.package for _ in range(3) for one in broker.dequeue(20)}


@pytest.mark.fault("D21")
def test_a_lease_that_is_over_on_a_node_that_is_not_in_use(
    trio: list[DisqueServer], open_broker: Open
) -> None:
    nodes = [node.address for node in trio]
    for node in nodes:
        gone = open_broker(node, queue="leases", retry=1)
        gone.enqueue(b"package")
        assert gone.dequeue()
    broker = open_broker(*nodes, queue="leases", retry=1)
    attempts = [one.attempt for one in receive(broker, 3)]
    assert all(attempt >= 2 for attempt in attempts)


def test_a_release_into_full_memory_is_left_to_the_lease(
    own_disque_server: DisqueServer,
    admin: redis.Redis,
    open_broker: Open,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Disque takes no NACK then; a cluster that stops must not fail for it."""
    broker = open_broker(own_disque_server.address, retry=3)
    broker.enqueue_many([b"a", b"b"])
    held = [one.receipt for one in receive(broker, 2)]
    admin.execute_command("CONFIG", "SET", "maxmemory", 1)
    broker.release(held)
    assert "come back when their lease ends" in caplog.text
    assert sorted(one.package for one in receive(broker, 2)) == [b"a", b"b"]
