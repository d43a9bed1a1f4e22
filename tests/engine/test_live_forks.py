"""Tasks that fork, or close what their worker needs."""

from __future__ import annotations

import pytest
from chores.ledger import wait_for

from qcore.processes import processes
from qcore.tasks import async_task, fetch


@pytest.fixture(scope="module")
def cluster(_start):
    return _start(workers=2, max_attempts=1)


def run(name, *args, **options):
    """Run one of the tasks of this module, and return its record."""
    return fetch(async_task(f"chores.leavings.{name}", *args, **options), wait=60_000)


@pytest.mark.fault("B25")
@pytest.mark.parametrize("function", ["fork_back", "fork_back_later"])
@pytest.mark.parametrize(
    ("how", "ended"),
    [
        ("returns", "exit code 0"),
        ("raises", "exit code 1"),
        ("exits", "exit code 7"),
        ("exits with an error", "exit code 1"),
    ],
)
def test_a_child_that_comes_back_from_its_task_ends_there(
    cluster, ledger, key, function, how, ended
):
    before = (cluster.dispatcher, cluster.workers)
    assert run(function, key, how).result == ended
    (entry,) = ledger.entries(key)
    child = int(entry.event.split()[1])
    cluster.wait_for(lambda: f"forked process {child}, which returned" in cluster.log)
    assert run("who").result in cluster.workers
    assert (cluster.dispatcher, cluster.workers) == before
    assert "the answer is ignored" not in cluster.log


@pytest.mark.fault("B25")
def test_a_child_that_comes_back_from_a_hook_ends_there(cluster, ledger, key):
    hook = "chores.leavings.forking_hook"
    assert run("who", task_name=key, hook=hook).success
    wait_for(lambda: ledger.entries(key, "exit code 0"), 20, "end of the hook")
    assert run("who").result in cluster.workers


@pytest.mark.fault("B26")
def test_a_task_that_closes_all_descriptors_is_ended(cluster, ledger, key):
    """Its worker can say nothing any more, and must not be taken for dead."""
    record = run("close_everything", key, 600)
    assert record.outcome == "crash"
    assert "connection to the cluster" in record.result
    (began,) = ledger.entries(key, "began")
    assert not any(process.pid == began.pid for process in processes())
    cluster.wait_complete()
    assert run("who").result in cluster.workers
