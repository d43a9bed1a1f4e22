"""A cluster that has lost its leases: what it still runs is stopped, and not recorded."""

from __future__ import annotations

import os
import signal
import time

import pytest
from chores.ledger import let_go

from qcore.tasks import async_task, fetch, result
from qcore.testing.speed import in_time

#: Minutes in all, and about servers and signals more than about Python.
pytestmark = pytest.mark.once


def pause(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


@pytest.mark.fault("A8")
@pytest.mark.parametrize("stopped", ["dispatcher", "everything but the worker"])
def test_what_a_stopped_cluster_ran_is_taken_over(on_redis, ledger, key, stopped):
    first = on_redis.start(workers=1, retry=on_redis.lease)
    # the first run would outlast the test: if it is not stopped, that is seen
    sleep = "qcore.testing.contracts.clusters.tasks.sleep_once"
    task_id = async_task(sleep, key, 600, cluster=on_redis.queue, timeout=None)
    ledger.wait(key, "began")
    frozen = [first.dispatcher]
    if stopped != "dispatcher":
        frozen.append(first.sentinel)
    second = on_redis.start(workers=1, retry=on_redis.lease)
    paused = time.monotonic()
    pause(frozen)
    began = ledger.wait(key, "began", 2)
    # a lease is renewed each quarter of it, on a busy machine later than that
    waited = began[1].at - paused
    assert waited > on_redis.lease * 0.25
    assert in_time(waited, on_redis.lease * 2)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    first.wait_for(lambda: "its end is not recorded" in first.log)
    assert result(task_id, wait=60_000) == key
    second.wait_idle()
    (ended,) = ledger.entries(key, "ended")
    assert ended.pid == began[1].pid, "the first one was stopped"
    assert fetch(task_id).attempt_count == 2
    again = async_task("chores.kind.add", 1, 1, cluster=on_redis.queue)
    assert result(again, wait=60_000) == 2


@pytest.mark.fault("A8")
def test_a_result_that_comes_after_the_lease_is_refused(on_redis, ledger, key):
    """The worker ends while its dispatcher is stopped; another runs the task already."""
    first = on_redis.start(workers=1, retry=on_redis.lease)
    task_id = async_task("chores.kind.hold", key, cluster=on_redis.queue)
    ledger.wait(key, "began")
    pause([first.dispatcher])
    let_go(key)
    ledger.wait(key, "ended")
    second = on_redis.start(workers=1, retry=on_redis.lease)
    ledger.wait(key, "began", 2)
    os.kill(first.dispatcher, signal.SIGCONT)
    first.wait_for(lambda: "its end is not recorded" in first.log)
    assert result(task_id, wait=60_000) == key
    second.wait_idle()
    assert fetch(task_id).attempt_count == 2


@pytest.mark.fault("A7")
def test_workers_that_were_stopped_while_idle_are_replaced(on_redis, ledger, key):
    cluster = on_redis.start()
    stopped = set(cluster.workers)
    pause(stopped)
    ids = [
        async_task("chores.kind.nap", key, 0.01, cluster=on_redis.queue)
        for _ in range(4)
    ]
    assert [result(id, wait=60_000) for id in ids] == [key] * 4
    began = ledger.entries(key, "began")
    assert len(began) == 4
    assert not stopped & {entry.pid for entry in began}
    assert {fetch(id).attempt_count for id in ids} == {1}, "it had not begun"
    cluster.wait_complete(without=stopped)
