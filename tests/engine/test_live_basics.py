from __future__ import annotations

from qcore.tasks import async_task, result


def test_a_task_runs(cluster, ledger, key):
    task_id = async_task("chores.kind.record", key, 7)
    assert result(task_id, wait=10_000) == 7
    assert len(ledger.entries(key)) == 1
