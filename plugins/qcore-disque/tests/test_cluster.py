"""A real cluster on Disque: workers and nodes die, and every task ends once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from chores.ledger import Ledger, wait_for

# Fixtures: a database in a file, a ledger, and what starts clusters on them.
from engine.conftest import _migrated, _start, database, key, ledger  # noqa: F401
from servers.disque import DisqueServer

from qcore.current import current
from qcore.tasks import async_task, fetch, result
from qcore.testing.cluster import LiveCluster

if TYPE_CHECKING:
    from pytest_django import Settings

PASSWORD = "s3cret-of-disque"


@pytest.fixture(scope="module")
def node() -> Iterator[DisqueServer]:
    """A node with a password that keeps its jobs over a restart."""
    server = DisqueServer("--requirepass", PASSWORD, appendonly=True)
    server.start()
    yield server
    server.close()


@pytest.fixture
def cluster(
    settings: Settings,
    node: DisqueServer,
    _start: Callable[..., LiveCluster],  # noqa: F811
    key: str,  # noqa: F811
) -> Iterator[LiveCluster]:
    """Two workers on a queue of the test's own, which this process sends to."""
    settings.Q_CLUSTER = {
        "name": f"live-{key}",
        "retry": 3,
        "disque_nodes": [node.address],
        "disque_auth": PASSWORD,
    }
    cluster = _start(retry=3)
    yield cluster
    assert PASSWORD not in cluster.log
    cluster.close()
    current.close()


def test_tasks_run_and_leave_nothing(cluster: LiveCluster) -> None:
    ids = [async_task("chores.kind.add", number, 1) for number in range(50)]
    assert [result(id, wait=20_000) for id in ids] == [n + 1 for n in range(50)]
    cluster.wait_idle()


def test_a_killed_worker_loses_nothing(
    cluster: LiveCluster,
    ledger: Ledger,  # noqa: F811
    key: str,  # noqa: F811
) -> None:
    nap = async_task("chores.kind.nap", key, 1.0)
    others = [async_task("chores.kind.add", number, 1) for number in range(12)]
    cluster.kill_worker(ledger.wait(key, "began")[0].pid)
    record = wait_for(lambda: (r := fetch(nap)) and r.success and r, 30)
    assert record.attempt_count == 2
    assert [result(id, wait=20_000) for id in others] == [n + 1 for n in range(12)]
    cluster.wait_idle()


def test_a_killed_dispatcher_loses_nothing(
    cluster: LiveCluster,
    ledger: Ledger,  # noqa: F811
    key: str,  # noqa: F811
) -> None:
    """Nobody gives its deliveries back: Disque does, when their lease is over."""
    nap = async_task("chores.kind.nap", key, 0.5)
    ledger.wait(key, "began")
    cluster.kill_dispatcher()
    record = wait_for(lambda: (r := fetch(nap)) and r.success and r, 30)
    assert record.attempt_count == 2
    cluster.wait_idle()


def test_a_killed_node_loses_nothing(
    cluster: LiveCluster,
    node: DisqueServer,
    ledger: Ledger,  # noqa: F811
    key: str,  # noqa: F811
) -> None:
    """What waits, runs or is done when the node dies ends with its result."""
    ids = [async_task("chores.kind.add", number, 1) for number in range(20)]
    nap = async_task("chores.kind.nap", key, 0.5)
    ledger.wait(key, "began")
    node.kill()
    node.restart()
    ids += [async_task("chores.kind.add", number, 1) for number in range(20, 25)]
    assert [result(id, wait=30_000) for id in ids] == [n + 1 for n in range(25)]
    assert result(nap, wait=30_000) == key
    cluster.wait_idle(30)
