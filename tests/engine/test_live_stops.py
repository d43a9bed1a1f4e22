"""The end of a cluster, in order and otherwise, and the signals that it takes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from chores.ledger import let_go, wait_for
from support.quick_starts import parents

from qcore.processes import processes
from qcore.runtime import current
from qcore.tasks import async_task, async_task_many, fetch, result
from qcore.testing.speed import Patience, in_time

Q = "stops"


def send(name, *args, **options):
    return async_task(f"chores.{name}", *args, cluster=Q, **options)


@pytest.fixture(autouse=True)
def _empty_queue(database):
    yield
    current.broker(Q).purge_queue()


@pytest.mark.fault("A9")
def test_short_tasks_end_and_the_rest_is_returned(start, ledger, key):
    cluster = start(queue=Q, shutdown_grace=60)
    async_task_many("chores.kind.nap", [(key, 0.2)] * 60, cluster=Q)
    ledger.wait(key, "began", 2)
    at = time.monotonic()
    assert cluster.stop() == 0
    assert in_time(time.monotonic() - at, 20)
    began, ended = (len(ledger.entries(key, event)) for event in ("began", "ended"))
    assert began == ended < 60
    broker = current.broker(Q)
    assert broker.queue_size() == 60 - ended
    assert broker.lock_size() == 0
    assert cluster.survivors() == []
    assert "Traceback" not in cluster.log


@pytest.mark.fault("A10")
@pytest.mark.fault("B21")
def test_a_long_task_is_given_back_and_runs_in_the_next_cluster(start, ledger, key):
    first = start(queue=Q, shutdown_grace=0.3)
    task_id = send("kind.slow_with_clean_up", key, 60)
    send("kind.nap_async", f"{key} async", 60)
    ledger.wait(key, "began")
    ledger.wait(f"{key} async", "began")
    at = time.monotonic()
    assert first.stop() == 0
    assert in_time(time.monotonic() - at, 20)
    for own in (key, f"{key} async"):
        assert len(ledger.entries(own, "cleaned up")) == 1, "it was asked to stop"
    assert fetch(task_id) is None, "that is no outcome"
    assert current.broker(Q).queue_size() == 2
    second = start(queue=Q, shutdown_grace=0.1)
    ledger.wait(key, "began", 2)
    assert second.stop() == 0


@pytest.mark.fault("A10")
def test_a_task_that_does_not_stop_is_killed_and_given_back(start, ledger, key):
    cluster = start(queue=Q, shutdown_grace=0.1)
    task_id = send("rude.block_signals", key, 60)
    ledger.wait(key, "began")
    at = time.monotonic()
    assert cluster.stop() == 0
    assert in_time(time.monotonic() - at, 20)
    assert fetch(task_id) is None
    assert current.broker(Q).queue_size() == 1
    assert cluster.survivors() == []


@pytest.mark.fault("A11")
def test_a_second_signal_means_now(start, ledger, key):
    cluster = start(queue=Q, shutdown_grace=60)
    send("kind.nap", key, 60)
    ledger.wait(key, "began")
    cluster.signal(signal.SIGTERM)
    cluster.wait_for(lambda: "running tasks have up to 60 s" in cluster.log)
    at = time.monotonic()
    cluster.signal(signal.SIGINT)
    assert cluster.wait() == 0
    assert in_time(time.monotonic() - at, 20)
    assert current.broker(Q).queue_size() == 1


@pytest.mark.fault("A11")
def test_a_burst_of_signals_is_no_trouble(start, ledger, key):
    cluster = start(queue=Q, shutdown_grace=60)
    send("kind.nap", key, 60)
    ledger.wait(key, "began")
    for number in [signal.SIGTERM] * 5 + [signal.SIGINT, signal.SIGHUP]:
        cluster.signal(number)
    assert cluster.wait() == 0
    assert "Traceback" not in cluster.log
    assert cluster.survivors() == []


@pytest.mark.fault("A12")
def test_sigquit_means_now(start, ledger, key):
    cluster = start(queue=Q, shutdown_grace=60)
    send("kind.nap", key, 60)
    ledger.wait(key, "began")
    cluster.signal(signal.SIGQUIT)
    assert cluster.wait() == 0
    assert current.broker(Q).queue_size() == 1


def test_signals_to_the_whole_group_are_the_sentinels_affair(start, ledger, key):
    """A terminal and a service manager signal every process; tasks end all the same."""
    cluster = start(queue=Q, shutdown_grace=60)
    send("kind.hold", key)
    ledger.wait(key, "began")
    cluster.signal_all(signal.SIGTERM)
    let_go(key)
    assert cluster.wait() == 0
    assert len(ledger.entries(key, "ended")) == 1


def test_the_hook_of_the_last_task_is_called_before_the_end(start, ledger, key):
    cluster = start(queue=Q, shutdown_grace=60, workers=1)
    send("kind.hold", key, hook="chores.kind.hook", group=key, task_name="n")
    ledger.wait(key, "began")
    cluster.signal(signal.SIGTERM)
    let_go(key)
    assert cluster.wait() == 0
    assert len(ledger.entries(key, "success n")) == 1
    broker = current.broker(Q)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)


def test_a_follow_up_is_given_back_when_no_worker_is_left(start, ledger, key):
    """With recycle=1 the worker of the last task is gone before its hook is due."""
    cluster = start(queue=Q, shutdown_grace=60, workers=1, recycle=1)
    send("kind.hold", key, hook="chores.kind.hook", group=key, task_name="n")
    ledger.wait(key, "began")
    at = time.monotonic()
    cluster.signal(signal.SIGTERM)
    cluster.wait_for(lambda: (s := cluster.snapshot) and s.state == "stopping")
    let_go(key)
    assert cluster.wait() == 0
    assert in_time(time.monotonic() - at, 20)
    assert current.broker(Q).queue_size() == 1
    start(queue=Q, workers=1)
    ledger.wait(key, "success n")
    assert len(ledger.entries(key, "began")) == 1, "only the hook was missing"


@pytest.mark.fault("A4")
def test_nobody_outlives_the_sentinel(start, ledger, key):
    cluster = start(queue=Q, retry=1)
    task_id = send("kind.hold", key)
    send("rude.have_child", f"{key} child")
    ledger.wait(key, "began")
    wait_for(lambda: ledger.entries(f"{key} child"))
    cluster.kill_sentinel()
    wait_for(lambda: not cluster.survivors(), 2, "end of all processes")
    assert cluster.exit_code == -signal.SIGKILL
    let_go(key)
    start(queue=Q, retry=10)
    ledger.wait(key, "ended")
    assert result(task_id, wait=60_000) == key


@pytest.mark.fault("A4")
def test_workers_end_with_the_sentinel_though_the_dispatcher_is_stopped(
    start, ledger, key
):
    """The kernel sees to it (prctl), as nobody else can."""
    cluster = start(queue=Q)
    send("rude.block_signals", key)
    ledger.wait(key, "began")
    workers = set(cluster.workers)
    os.kill(cluster.dispatcher, signal.SIGSTOP)
    cluster.kill_sentinel()
    wait_for(
        lambda: not workers & {process.pid for process in cluster.survivors()},
        2,
        "end of the workers",
    )


@pytest.mark.fault("A5")
def test_nothing_is_lost_with_a_whole_cluster(start, ledger, key):
    cluster = start(queue=Q, retry=1)
    ids = [send("kind.nap", key, 0.2) for _ in range(8)]
    ledger.wait(key, "began", 2)
    cluster.signal_all(signal.SIGKILL)
    start(queue=Q, retry=10)
    assert [result(id, wait=60_000) for id in ids] == [key] * 8


def test_a_dispatcher_that_dies_is_replaced_with_its_workers(start, ledger, key):
    cluster = start(queue=Q, retry=1)
    before = cluster.workers
    task_id = send("kind.hold", key)
    ledger.wait(key, "began")
    dead = cluster.kill_dispatcher()
    cluster.wait_complete(without=before)
    assert cluster.dispatcher != dead
    let_go(key)
    assert result(task_id, wait=60_000) == key
    # a lease of a second may have ended before that, too
    assert ledger.entries(key, "ended")[-1].pid not in before
    assert cluster.stop() == 0


@pytest.mark.fault("A12")
def test_hup_replaces_workers_after_their_task(start, ledger, key):
    cluster = start(queue=Q)
    before = set(cluster.workers)
    task_id = send("kind.hold", key)
    (began,) = ledger.wait(key, "began")
    cluster.signal(signal.SIGHUP)
    cluster.wait_for(lambda: "replacing all workers" in cluster.log)
    cluster.signal(signal.SIGHUP)
    let_go(key)
    assert result(task_id, wait=60_000) == key
    assert ledger.entries(key, "ended")[0].pid == began.pid, "it was left in peace"
    cluster.wait_complete(without=before)
    assert result(send("kind.add", 1, 1), wait=60_000) == 2


@pytest.mark.fault("A12")
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTTIN])
def test_stacks_are_dumped(start, ledger, key, number):
    cluster = start(queue=Q)
    send("kind.nap", key, 20)
    ledger.wait(key, "began")
    places = ("chores/kind.py", "sentinel/sentinel.py", "dispatcher/process.py")
    # On a busy machine the lines of two processes may be mixed, and a name in the middle of
    # it, for they come letter by letter. Who reads them sends the signal once more.
    for _ in range(10):
        cluster.signal(number)
        patience = Patience(3)
        while not all(place in cluster.log for place in places):
            if patience.is_over():
                break
            time.sleep(0.05)
        else:
            break
    assert all(place in cluster.log for place in places), cluster.log
    assert cluster.is_complete()


def test_run_once_ends_when_nothing_is_left(start, ledger, key):
    for _ in range(5):
        send("kind.record", key)
    cluster = start(queue=Q, run_once=True)
    assert cluster.wait() == 0
    assert len(ledger.entries(key)) == 5
    assert cluster.survivors() == []


def test_no_process_of_these_tests_is_left(database):
    """Each test has looked for its own; this looks for what none of them knew."""
    children = [p.pid for p in processes() if p.lives and p.parent in parents()]
    # servers that other tests of this process have started go on, by design
    marks = ("qcore[", "-m qcore", "qcore cluster")
    clusters = [pid for pid in children if any(m in _command(pid) for m in marks)]
    assert clusters == []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:  # it has ended since it was listed
        return ""
