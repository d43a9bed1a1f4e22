"""Batches and graphs in a cluster: members end in every way, and one is killed."""

from __future__ import annotations

import pytest
from chores.ledger import let_go, wait_for

from qcore.tasks import result

qcore_flows = pytest.importorskip("qcore_flows")


@pytest.fixture(scope="module")
def cluster(_start):
    return _start()


def completed(flow):
    return wait_for(lambda: (s := flow.status()) and s.completed and s)


def test_members_that_end_in_every_way(cluster, ledger, key):
    with qcore_flows.Batch("every way") as batch:
        batch.on_complete("chores.kind.record", f"{key} complete")
        batch.on_success("chores.kind.record", f"{key} success")
        batch.on_first_failure("chores.kind.record", f"{key} failure")
        batch.add("chores.kind.echo", 1)
        batch.add("chores.kind.fail", max_attempts=1)
        batch.add("chores.rude.leave", key, 3, max_attempts=1)
        batch.add("chores.kind.nap", key, 30, timeout=1, max_attempts=1)
    status = completed(batch)
    assert (status.state, status.succeeded, status.failed) == ("failed", 1, 3)
    assert [one.state for one in batch.members()] == [
        "success", "failure", "crash", "timeout",
    ]  # fmt: skip
    ledger.wait(f"{key} complete", "ran")
    ledger.wait(f"{key} failure", "ran")
    assert ledger.entries(f"{key} success") == []


def test_the_worker_of_a_node_is_killed(cluster, ledger, key):
    with qcore_flows.Flow("killed") as flow:
        first = flow.add("chores.kind.hold", key)
        last = flow.add("chores.kind.echo", [first])
        flow.on_success("chores.kind.record", f"{key} success")
    (entry,) = ledger.wait(key, "began")
    cluster.kill_worker(entry.pid)
    ledger.wait(key, "began", 2)
    let_go(key)
    assert completed(flow).state == "succeeded"
    assert result(last.id, wait=60_000) == [key]
    assert len(ledger.wait(f"{key} success", "ran")) == 1
