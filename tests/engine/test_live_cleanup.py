"""What tasks leave behind in their worker, and what becomes of the worker."""

from __future__ import annotations

import os
import signal

import pytest
from chores.ledger import wait_for
from faults.cgroup import control_group

from qcore.processes import processes
from qcore.tasks import async_task, fetch
from qcore.testing.speed import stretched

pytestmark = pytest.mark.once

GRACE = 0.3


@pytest.fixture(scope="module")
def cluster(_start):
    return _start(workers=1, grace=GRACE, max_attempts=1)


def run(name, *args, **options):
    """Run one of the tasks of this module, and return its result."""
    task_id = async_task(f"chores.leavings.{name}", *args, **options)
    record = fetch(task_id, wait=60_000)
    assert record.success, record.result
    return record.result


def is_alive(pid):
    return any(process.pid == pid and process.lives for process in processes())


@pytest.mark.fault("B4")
def test_a_worker_whose_memory_ran_out_is_replaced(cluster):
    before = run("who")
    record = fetch(async_task("chores.leavings.run_out_of_memory"), wait=60_000)
    assert record.outcome == "failure"
    assert record.result.startswith("MemoryError")
    assert run("who") != before
    cluster.wait_for(lambda: "retires: memory ran out" in cluster.log)


@pytest.mark.fault("B4")
def test_an_error_is_not_asked_whether_it_is_true(cluster):
    before = run("who")
    record = fetch(async_task("chores.leavings.raise_without_truth"), wait=60_000)
    assert record.outcome == "failure"
    assert "as it was told" in record.result
    assert run("who") == before
    record = fetch(async_task("chores.leavings.raise_empty"), wait=60_000)
    assert record.outcome == "failure"
    assert run("who") != before, "its memory ran out"


@pytest.mark.fault("B5")
def test_a_kill_that_nobody_sent_may_be_for_want_of_memory(cluster, ledger, key):
    """The kernel kills with SIGKILL and tells no reason; the size is what speaks."""
    task_id = async_task("chores.leavings.swell_and_wait", key, 60)
    (swollen,) = ledger.wait(key, "swollen")

    def memory():
        workers = s.workers if (s := cluster.snapshot) else []
        own = [w.rss for w in workers if w.pid == swollen.pid and w.task_id == task_id]
        return own[0] if own and own[0] > 60_000 else None

    seen = cluster.wait_for(memory, what="its memory is seen while the task runs")
    os.kill(swollen.pid, signal.SIGKILL)
    record = fetch(task_id, wait=60_000)
    assert record.outcome == "crash"
    how, _, size = record.result.partition("; last RSS ")
    assert how.endswith("killed by SIGKILL, probably out of memory")
    assert int(size.removesuffix(" kB").replace(",", "")) >= seen - 1000


@pytest.mark.fault("B5")
def test_the_kernel_kills_a_worker_that_exceeds_its_control_group(cluster, ledger, key):
    cluster.wait_complete()
    with control_group("memory") as group:
        group.limit(50_000_000)
        group.take(cluster.workers[0])
        record = fetch(async_task("chores.leavings.swell", key, 500), wait=60_000)
    assert record.outcome == "crash"
    assert "killed by SIGKILL, probably out of memory; last RSS " in record.result
    assert [entry.event for entry in ledger.entries(key)] == ["began"]


@pytest.mark.fault("B13")
def test_a_thread_that_outlives_its_task_has_grace_and_then_ends_its_worker(cluster):
    before = run("leave_thread", 60)
    cluster.wait_for(lambda: "left a thread running: left behind" in cluster.log)
    assert "chores.leavings.leave_thread id=" in cluster.log
    wait_for(lambda: run("who") != before, 10, "a fresh worker")
    assert "retires: threads outlived their task: left behind" in cluster.log


@pytest.mark.fault("B13")
def test_a_thread_that_waits_for_work_is_no_trouble(cluster):
    before = run("who")
    assert [run("use_pool") for _ in range(3)] == [before] * 3
    cluster.wait_for(lambda: cluster.log.count("done chores.leavings.use_pool") == 3)
    assert "ThreadPoolExecutor" not in cluster.log


@pytest.mark.fault("B11")
def test_a_daemon_of_a_task_that_is_killed_is_killed_too(cluster, ledger, key):
    # in this time it has left the daemon
    daring = {"timeout": stretched(1.0)}
    task_id = async_task("chores.leavings.daemon_and_defiance", key, **daring)
    daemon = daemon_of(ledger, key)
    assert fetch(task_id, wait=60_000).outcome == "timeout"
    wait_for(lambda: not is_alive(daemon), 5, "end of the daemon")
    cluster.wait_for(lambda: f"ending process {daemon} (sleep), left by" in cluster.log)


@pytest.mark.fault("B11")
def test_a_daemon_is_named_and_ends_with_its_worker(cluster, ledger, key):
    # a fresh one has not looked yet; it would for a second
    cluster.wait_complete(without=[cluster.kill_worker()])
    before = run("leave_daemon", key)
    daemon = daemon_of(ledger, key)
    named = f"left process {daemon} (sleep) in a group of its own"
    cluster.wait_for(lambda: named in cluster.log)
    assert run("who") == before
    assert is_alive(daemon)
    cluster.signal(signal.SIGHUP)
    wait_for(lambda: not is_alive(daemon), 5, "end of the daemon")


def daemon_of(ledger, key):
    (entry,) = wait_for(lambda: ledger.entries(key))
    return int(entry.event.split()[1])


@pytest.mark.fault("B16")
@pytest.mark.parametrize("how", ["close_descriptors", "close_streams"])
def test_closed_streams_are_opened_again(cluster, how):
    before = run(how)
    assert run("who") != before
    told = f"standard output or error (after chores.leavings.{how}"
    cluster.wait_for(lambda: told in cluster.log)


@pytest.mark.fault("B16")
def test_a_flood_of_output_blocks_nobody(cluster, key):
    """The last one: from here on the log is 50 MB long."""
    run("flood", 25)
    assert run("who") in cluster.workers
    cluster.wait_for(lambda: "done chores.leavings.flood" in cluster.log)
