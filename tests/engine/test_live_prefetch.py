"""A burst of short tasks, with a long one and a deadly one in the middle of it."""

from __future__ import annotations

import pytest

from qcore.tasks import async_task, async_task_many, fetch, result

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def cluster(_start):
    return _start(recycle=0, save_limit=0)


def burst(key, first, count=300):
    return async_task_many("chores.kind.record", [f"{key} {first}"] * count)


def test_no_task_waits_behind_a_long_one(cluster, ledger, key):
    burst(key, "before")
    long = async_task("chores.kind.wait_for_others", f"{key} after", 300)
    burst(key, "after")
    assert result(long, wait=60_000) == 300, "all have run while it went on"


@pytest.mark.fault("A1")
def test_only_the_task_that_ran_is_counted_when_a_worker_dies(cluster, ledger, key):
    ids = burst(key, "before")
    deadly = async_task("chores.mixed.crash_once", key)
    ids += burst(key, "after")
    assert result(deadly, wait=60_000) is not None
    for id in ids:
        assert result(id, wait=60_000) is None
    cluster.wait_idle()
    assert {fetch(id).attempt_count for id in ids} == {1}
    assert len(ledger.entries(f"{key} before")) == 300
    assert len(ledger.entries(f"{key} after")) == 300
    record = fetch(deadly)
    assert (record.attempt_count, record.crashes) == (2, 1)
