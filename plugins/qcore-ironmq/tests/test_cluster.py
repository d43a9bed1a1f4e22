"""A real cluster on IronMQ's protocol: its parts and the service die, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chores.ledger import Ledger, wait_for

# Fixtures: a database in a file, a ledger, and what starts clusters on them.
from engine.conftest import _migrated, _start, database, key, ledger  # noqa: F401
from servers.ironmq import IronMQServer

from qcore.current import current
from qcore.tasks import async_task, fetch, result
from qcore.testing.cluster import LiveCluster
from qcore_ironmq.client import Client, Service

if TYPE_CHECKING:
    from pytest_django import Settings

# Where the cluster finds a broker that knows how quick the server's clock is.
MODULE = """
from qcore_ironmq.broker import IronMQBroker

class QuickBroker(IronMQBroker):
    "For a server whose clock is quick."
    pace = 20.0
"""


@pytest.fixture(scope="module")
def server() -> Iterator[IronMQServer]:
    """A server whose clock is quick, though the others of a run are the real one."""
    service = IronMQServer(pace=20.0)
    service.start()
    yield service
    service.close()


@pytest.fixture
def cluster(
    settings: Settings,
    server: IronMQServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    _start: Callable[..., LiveCluster],  # noqa: F811
    key: str,  # noqa: F811
) -> Iterator[LiveCluster]:
    """Two workers on a queue of the test's own, which this process sends to."""
    (tmp_path / "ironmq_quick.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    settings.Q_CLUSTER = {
        "name": key,
        "broker_class": "ironmq_quick.QuickBroker",
        "iron_mq": server.options,
    }
    yield _start(retry=3, renew=True)
    current.close()


def wait_empty(server: IronMQServer, cluster: LiveCluster) -> None:
    """Wait until the service has no message, claimed ones included."""
    client = Client(server.options)
    client.reply_seconds = 10
    queue = Service(client).queue(cluster.conf.queue)
    wait_for(lambda: queue.size() == 0, 30)
    client.close()


def test_tasks_run_and_leave_nothing(
    cluster: LiveCluster, server: IronMQServer
) -> None:
    ids = [async_task("chores.kind.add", number, 1) for number in range(25)]
    assert [result(id, wait=20_000) for id in ids] == [n + 1 for n in range(25)]
    wait_empty(server, cluster)


def test_a_task_longer_than_its_lease_runs_once(
    cluster: LiveCluster,
    server: IronMQServer,
    key: str,  # noqa: F811
) -> None:
    """One thread renews the reservation that another one ends."""
    nap = async_task("chores.kind.nap", key, 5.0)
    record = wait_for(lambda: (r := fetch(nap)) and r.success and r, 30)
    assert record.attempt_count == 1
    wait_empty(server, cluster)


def test_a_killed_worker_loses_nothing(
    cluster: LiveCluster,
    server: IronMQServer,
    ledger: Ledger,  # noqa: F811
    key: str,  # noqa: F811
) -> None:
    nap = async_task("chores.kind.nap", key, 1.0)
    others = [async_task("chores.kind.add", number, 1) for number in range(12)]
    cluster.kill_worker(ledger.wait(key, "began")[0].pid)
    record = wait_for(lambda: (r := fetch(nap)) and r.success and r, 30)
    assert record.attempt_count == 2
    assert [result(id, wait=20_000) for id in others] == [n + 1 for n in range(12)]
    wait_empty(server, cluster)


def test_a_killed_dispatcher_loses_nothing(
    cluster: LiveCluster,
    server: IronMQServer,
    ledger: Ledger,  # noqa: F811
    key: str,  # noqa: F811
) -> None:
    """Nobody gives its deliveries back: they come again when their lease is over."""
    nap = async_task("chores.kind.nap", key, 0.5)
    ledger.wait(key, "began")
    cluster.kill_dispatcher()
    record = wait_for(lambda: (r := fetch(nap)) and r.success and r, 30)
    assert record.attempt_count == 2
    wait_empty(server, cluster)


def test_a_killed_service_loses_nothing(
    cluster: LiveCluster, server: IronMQServer
) -> None:
    ids = [async_task("chores.kind.add", number, 1) for number in range(12)]
    server.kill()
    server.start()
    ids += [async_task("chores.kind.add", number, 1) for number in range(12, 15)]
    assert [result(id, wait=30_000) for id in ids] == [n + 1 for n in range(15)]
    wait_empty(server, cluster)
