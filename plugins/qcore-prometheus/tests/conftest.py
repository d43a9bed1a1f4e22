"""What the tests of the metrics share."""

from __future__ import annotations

import time
from typing import Any

import pytest
from live_fixtures import _migrated, _start, database, key, ledger, start

from qcore.envelope import Result, Task, new_id
from qcore.status import Snapshot, WorkerStatus

__all__ = ["_migrated", "_start", "database", "key", "ledger", "start"]

QUEUE = "prometheus"


@pytest.fixture
def a_result():
    """Make results of tasks that were sent two seconds before they began."""

    def make(func: str = "shop.tasks.add", **fields: Any) -> Result:
        began = time.time()
        id = new_id()
        task = Task(
            id=id, name="x", func=func, queue=QUEUE, created=began - 2.0,
            content="json", body=b"[]",
        )  # fmt: skip
        usual = {
            "task": task, "outcome": "success", "value": b"1", "content": "json",
            "started": began, "stopped": began + 0.2, "attempt": 1,
        }  # fmt: skip
        return Result(**(usual | fields))

    return make


@pytest.fixture
def a_snapshot():
    """Make snapshots of a cluster with a busy and an idle worker."""

    def make(**fields: Any) -> Snapshot:
        workers = [
            WorkerStatus(index=1, pid=11, state="busy", task_id="a" * 32, rss=1000),
            WorkerStatus(index=2, pid=12, state="idle", rss=2000),
        ]
        usual = {
            "cluster": "c" * 32, "name": "shop", "queue": QUEUE, "host": "web-1",
            "version": "2", "broker": "x", "state": "running", "sentinel_pid": 1,
            "dispatcher_pid": 2, "started": 100.0, "at": 200.0, "workers": workers,
            "waiting": 3, "recording": 1, "restarts": 4, "quarantined": 5,
        }  # fmt: skip
        return Snapshot(**(usual | fields))

    return make
