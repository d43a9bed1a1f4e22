"""Workers that die: by a task, by somebody's kill, by a timeout."""

from __future__ import annotations

import itertools
import os
import signal
import time

import pytest
from chores.cluster_log import own_log
from chores.ledger import let_go, wait_for
from django.conf import settings

from qcore.processes import processes
from qcore.runtime import current
from qcore.tasks import async_task, fetch, result
from qcore.testing.cluster import LiveCluster
from qcore.testing.speed import in_time, stretched

#: Seconds; it takes some ten milliseconds, and without a notice a lease of twenty seconds.
AT_ONCE = 5
#: Seconds in which a task reaches the line in which its timeout is to find it.
REACHED = 1.0


@pytest.fixture(scope="module")
def cluster(_start):
    """Every worker is there after all that is done to them, and the cluster stops."""
    cluster = _start(timeout=None)
    yield cluster
    cluster.wait_complete()
    assert "Traceback" not in own_log(cluster.log.replace("Fatal Python error", ""))
    assert cluster.stop() == 0


def lives(pid):
    return any(process.pid == pid and process.lives for process in processes())


def child_of(ledger, key):
    """Return the pid of the program that the task has started."""
    (entry,) = wait_for(lambda: [e for e in ledger.entries(key) if "child" in e.event])
    return int(entry.event.split()[1])


@pytest.mark.fault("A1")
def test_a_killed_worker_is_noticed_at_once_and_its_task_runs_again(
    cluster, ledger, key
):
    task_id = async_task("chores.kind.hold", key)
    (first,) = ledger.wait(key, "began")
    at = time.monotonic()
    cluster.kill_worker(first.pid)
    second = ledger.wait(key, "began", 2)[1]
    assert in_time(second.at - at, AT_ONCE), "noticed and assigned to somebody else"
    assert second.pid != first.pid
    let_go(key)
    record = wait_for(lambda: (r := fetch(task_id)) and r.success and r)
    assert record.attempt_count == 2
    cluster.wait_complete()
    assert "killed by SIGKILL" in cluster.log


@pytest.mark.fault("A2")
def test_killing_idle_workers_hangs_nobody(cluster, ledger, key):
    for number in range(10):
        cluster.wait_complete()
        for pid in cluster.workers:
            cluster.kill_worker(pid)
        at = time.monotonic()
        own = f"{key} {number}"
        for _ in range(4):
            async_task("chores.kind.record", own)
        ran = ledger.wait(own, "ran", 4)
        assert in_time(ran[-1].at - at, AT_ONCE)


@pytest.mark.fault("A3")
def test_a_worker_killed_while_it_returns_its_result(cluster, ledger, key):
    for number in range(5):
        own = f"{key} {number}"
        task_id = async_task("chores.kind.note_and_return", own, 5_000_000)
        (first,) = ledger.wait(own, "ends")
        os.kill(first.pid, signal.SIGKILL)
        record = wait_for(lambda id=task_id: (r := fetch(id)) and r.success and r)
        assert len(record.result) == 5_000_000
        assert len(ledger.entries(own, "ends")) == record.attempt_count


@pytest.mark.fault("A3")
def test_a_worker_killed_with_half_of_its_result_sent(cluster, ledger, key):
    """The dispatcher stands still, so that no more fits into the socket."""
    dispatcher = cluster.dispatcher
    task_id = async_task("chores.kind.hold_and_return", key, 5_000_000)
    (first,) = ledger.wait(key, "began")
    os.kill(dispatcher, signal.SIGSTOP)
    try:
        let_go(key)
        ledger.wait(key, "ended")
        wait_for(lambda: is_asleep(first.pid), what="worker that cannot go on")
        os.kill(first.pid, signal.SIGKILL)
    finally:
        os.kill(dispatcher, signal.SIGCONT)
    record = wait_for(lambda: (r := fetch(task_id)) and r.success and r)
    assert len(record.result) == 5_000_000
    assert len(ledger.entries(key, "ended")) == record.attempt_count == 2


def is_asleep(pid):
    states = {process.state for process in processes() if process.pid == pid}
    return states == {"S"}


@pytest.mark.fault("B2")
def test_a_task_that_ends_its_process_is_tried_again_at_once(cluster, ledger, key):
    task_id = async_task("chores.rude.leave_once", key, 3)
    ledger.wait(key, "began", 2)
    record = wait_for(lambda: (r := fetch(task_id)) and r.success and r)
    assert (record.result, record.attempt_count) == ("alive", 2)


@pytest.mark.fault("G15")
@pytest.mark.fault("B2")
def test_a_task_that_always_kills_is_given_up(cluster, ledger, key):
    task_id = async_task("chores.rude.leave", key, 3, max_attempts=0)
    record = wait_for(lambda: (r := fetch(task_id)) and r.attempt_count == 3 and r)
    assert record.outcome == "crash"
    assert record.result.startswith("WorkerDied: the worker died under the task:")
    assert "exit code 3" in record.result
    cluster.wait_idle()
    assert len(ledger.entries(key)) == 3


@pytest.mark.fault("B3")
def test_a_segmentation_fault_leaves_its_stack_in_the_log(cluster, ledger, key):
    task_id = async_task("chores.rude.segfault", key, max_attempts=1)
    record = fetch(task_id, wait=60_000)
    assert record.outcome == "crash"
    assert "killed by SIGSEGV" in record.result
    assert "in segfault" in cluster.log


@pytest.mark.parametrize(
    "rude",
    [
        pytest.param("hold_interpreter", marks=pytest.mark.fault("B6")),
        pytest.param("block_signals", marks=pytest.mark.fault("B7")),
        pytest.param("stop_itself", marks=pytest.mark.fault("A6")),
    ],
)
def test_a_task_that_nothing_stops_is_killed(cluster, ledger, key, rude):
    timeout = stretched(REACHED)
    task_id = async_task(f"chores.rude.{rude}", key, timeout=timeout, max_attempts=1)
    (began,) = ledger.wait(key, "began")
    record = fetch(task_id, wait=60_000)
    late = time.monotonic() - began.at - timeout - cluster.conf.grace
    assert record.outcome == "timeout"
    assert "did not end by itself" in record.result
    assert in_time(late, AT_ONCE)
    assert not lives(began.pid)


@pytest.mark.fault("B10")
def test_children_of_a_task_are_killed_with_it_at_a_timeout(cluster, ledger, key):
    task_id = async_task(
        "chores.rude.have_stubborn_child",
        key,
        timeout=stretched(REACHED),
        max_attempts=1,
    )
    child = child_of(ledger, key)
    assert fetch(task_id, wait=60_000).outcome == "timeout"
    wait_for(lambda: not lives(child), 2, "end of the child")


@pytest.mark.fault("B10")
def test_children_of_a_killed_worker_are_killed_too(cluster, ledger, key):
    async_task("chores.rude.have_child", key, max_attempts=1)
    child = child_of(ledger, key)
    cluster.kill_worker(ledger.entries(key)[0].pid)
    wait_for(lambda: not lives(child), 2, "end of the child")


def test_children_live_on_where_workers_are_no_daemons(start, ledger, key):
    cluster = start(queue="no daemons", workers=1, daemonize_workers=False)
    async_task("chores.rude.have_child", key, cluster="no daemons", max_attempts=1)
    child = child_of(ledger, key)
    worker = cluster.kill_worker()
    cluster.wait_for(lambda: cluster.workers and worker not in cluster.workers)
    assert lives(child)
    os.kill(child, signal.SIGKILL)


@pytest.mark.fault("B9")
def test_a_timeout_that_comes_as_the_task_ends(cluster):
    """Each has one outcome, and no kill hits the task that comes next."""
    ids = [
        async_task("chores.kind.doze", 0.04 + number / 2000, timeout=0.05)
        for number in range(40)
    ]
    records = [fetch(id, wait=60_000) for id in ids]
    # both, on a machine that is in time
    assert {record.outcome for record in records} <= {"success", "timeout"}
    assert {record.attempt_count for record in records} == {1}


def test_a_kill_that_comes_late_hits_nobody_else(start, ledger, key):
    """The task ends while its kill is on the way; the worker gets no other meanwhile."""
    cluster = start(queue="limits", workers=1, grace=0.05)
    os.kill(cluster.sentinel, signal.SIGSTOP)  # now, for the kill is soon on the way
    slow = stretched(0.4)
    late = async_task(
        "chores.rude.end_late", key, 2 * slow, timeout=slow, cluster="limits"
    )
    after = async_task("chores.kind.nap", f"{key} after", 0.5, cluster="limits")
    assert fetch(late, wait=60_000).success, "it has just made it"
    time.sleep(0.1)  # a worker that is idle would begin the next one in this time
    os.kill(cluster.sentinel, signal.SIGCONT)
    record = fetch(after, wait=60_000)
    assert (record.success, record.attempt_count) == (True, 1)
    assert len(ledger.entries(f"{key} after", "began")) == 1


def test_a_death_is_noticed_though_a_fork_of_the_worker_lives_on(start, ledger, key):
    """The fork has the worker's end of the channel, so this channel does not close."""
    cluster = start(queue="forks", workers=2, daemonize_workers=False)
    async_task("chores.rude.have_fork", key, cluster="forks")
    child = child_of(ledger, key)
    (first,) = ledger.entries(key, "began")
    at = time.monotonic()
    cluster.kill_worker(first.pid)
    second = ledger.wait(key, "began", 2)[1]
    assert in_time(second.at - at, AT_ONCE)
    assert lives(child)
    for process in cluster.survivors():
        if process.parent == 1 or process.pid == child:
            os.kill(process.pid, signal.SIGKILL)


@pytest.mark.fault("B12")
def test_a_task_may_use_processes_of_its_own(cluster):
    task_id = async_task("chores.kind.add_in_processes", 20)
    assert result(task_id, wait=60_000) == 190


@pytest.mark.fault("A14")
def test_workers_that_die_in_their_start_are_replaced_ever_later(start, ledger, key):
    apps = [*settings.INSTALLED_APPS, "chores.dying.Dying"]
    cluster = LiveCluster(
        queue="dying", workers=1, guard_cycle=0.1, django={"INSTALLED_APPS": apps}
    )
    try:
        task_id = async_task("chores.kind.record", key, cluster="dying")
        cluster.start(wait=False)
        births = ledger.wait("dying", "born", 5)
        # two at once, then after 0.1, 0.2, 0.4 s and so on
        pauses = [b.at - a.at for a, b in itertools.pairwise(births)]
        ever_later = enumerate(pauses[1:4])
        assert all(pause >= 0.1 * 2**number for number, pause in ever_later)
        assert cluster.exit_code is None, "the sentinel stays"
        seen = cluster.wait_for(lambda: (s := cluster.snapshot) and s.problem)
        assert seen == "workers die in their start: exit code 1; see the log"
        cluster.wait_for(lambda: (s := cluster.snapshot) and s.state == "degraded")
        assert fetch(task_id) is None, "no task is assigned to such a worker"
        assert cluster.stop() == 0
        assert current.broker("dying").queue_size() == 1
    finally:
        cluster.close()
