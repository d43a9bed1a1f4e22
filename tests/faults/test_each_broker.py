"""What must hold on every broker and database: one cluster on each, for all of these."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import threading
import time
from functools import partial
from types import SimpleNamespace

import msgspec
import psutil
import pytest
import time_machine
from chores.clock import VARIABLE
from chores.cluster_log import own_log
from chores.ledger import let_go, wait_for
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone
from faults.evidence import ports_of, wait_until_forgotten
from faults.forgeries import bad_packages, pickled
from support.later_packages import of_a_later_release

from qcore.envelope import new_id
from qcore.models import Schedule
from qcore.runtime import current
from qcore.tasks import async_task, fetch, result, schedule
from qcore.tasks.calls import build
from qcore.testing.speed import in_time

#: About brokers and databases more than about Python.
pytestmark = pytest.mark.once

APPS = ["chores.early.Early", "chores.clock.WrongClock"]


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    """A file: the seconds by which the clock of the cluster is wrong."""
    path = tmp_path_factory.mktemp("clock") / "wrong by"
    path.write_text("0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, VARIABLE, str(path))
        yield path


@pytest.fixture(scope="module")
def cluster(each, ledger, clock):
    """Two workers; their sentinel has used database and broker before it forked."""
    apps = [*settings.INSTALLED_APPS, *APPS]
    # no worker has to be killed: each has time to end its task on a busy machine, too
    return each.start(django={"INSTALLED_APPS": apps}, retry=each.lease, grace=10)


@pytest.fixture(autouse=True)
def calm(each, cluster):
    """Hold that no process has died, and that nobody was surprised.

    A test that may cost workers sets ``workers_may_end``.
    """
    cluster.wait_complete()
    before = {cluster.dispatcher, *cluster.workers}
    seen = len(cluster.log)
    expected = SimpleNamespace(workers_may_end=False)
    yield expected
    cluster.wait_idle()
    if not expected.workers_may_end:
        assert {cluster.dispatcher, *cluster.workers} == before
    assert "Traceback" not in own_log(cluster.log[seen:])


def send(each, *words, **options):
    return async_task(*words, cluster=each.queue, **options)


# -- processes ---------------------------------------------------------------------------
@pytest.mark.fault("E15")
def test_no_connection_outlives_a_fork(each, cluster, ledger, key):
    """Not of the sentinel, which had some, to its children, nor among these."""
    assert ledger.entries("early", f"connected {cluster.sentinel}")
    ids = [send(each, "chores.rude.connect_everywhere", f"{key} {n}") for n in range(2)]
    for number in range(2):
        ledger.wait(f"{key} {number}", "began")
    assert not files_of(cluster.sentinel)
    assert not ports_of(cluster.sentinel)
    children = [cluster.dispatcher, *cluster.workers]
    ports = [ports_of(pid) for pid in children]
    if each.kind == "sqlite":  # what was opened after a fork is nobody else's
        assert all(files_of(pid) for pid in children)
    else:
        assert all(ports)
        together = set.union(*ports)
        assert len(together) == sum(map(len, ports))
    for number in range(2):
        let_go(f"{key} {number}")
    for task_id in ids:
        assert fetch(task_id, wait=60_000).success


def files_of(pid):
    opened = psutil.Process(pid).open_files()
    return {one.path for one in opened if "sqlite3" in one.path}


# -- clocks ------------------------------------------------------------------------------
@pytest.mark.fault("F8")
def test_a_clock_that_is_set_changes_no_lease_and_no_timeout(
    each, cluster, ledger, key, clock
):
    """An hour on, then an hour back, under a task that runs for longer than its lease."""
    long = send(each, "chores.kind.nap", f"{key} long", cluster.conf.retry + 0.5)
    short = send(each, "chores.kind.nap", f"{key} short", 60, timeout=1, max_attempts=1)
    ledger.wait(f"{key} long", "began")
    (began,) = ledger.wait(f"{key} short", "began")
    try:
        clock.write_text("3600")
        assert fetch(short, wait=60_000).outcome == "timeout"
        assert time.monotonic() - began.at > 0.9
        assert in_time(time.monotonic() - began.at, 20)
        wait_for(lambda: abs(ask_the_time(each) - time.time() - 3600) < 60)
        clock.write_text("-3600")
        assert result(long, wait=60_000) == f"{key} long"
        wait_for(lambda: abs(ask_the_time(each) - time.time() + 3600) < 60)
    finally:
        clock.write_text("0")
    assert len(ledger.entries(f"{key} long", "began")) == 1
    wait_for(lambda: abs(ask_the_time(each) - time.time()) < 60)


def ask_the_time(each):
    return result(send(each, "chores.kind.wall_clock"), wait=60_000)


@pytest.mark.fault("F9")
@pytest.mark.parametrize("minutes", [10, -10], ids=["fast", "slow"])
def test_hosts_whose_clocks_differ_steal_nothing_and_start_nothing_early(each, minutes):
    """Leases and delays are by the clock of the service, whoever asks."""
    kind, queue = type(current.broker(each.queue)), f"{each.queue} clocks"
    conf = msgspec.structs.replace(current.conf, retry=30)
    right, wrong = kind(conf, queue), kind(conf, queue)
    right.enqueue(b"held")
    (held,) = right.dequeue(1)
    right.enqueue(b"later", delay=30)
    with time_machine.travel(time.time() + 60 * minutes):
        assert wrong.dequeue(9) == []
        wrong.enqueue(b"now")
        wrong.enqueue(b"later", delay=30)
    assert [one.package for one in right.dequeue(9)] == [b"now"]
    assert right.extend([held.receipt]) == set()
    right.purge_queue()
    right.close()
    wrong.close()


@pytest.mark.fault("F15")
def test_schedules_that_are_changed_as_they_fall_due(each, cluster, ledger, key):
    """In another session than the cluster's: moved they run once, deleted at most so."""
    soon = timezone.now() + dt.timedelta(seconds=0.7)
    names = [f"{key} {number}" for number in range(30)]
    for name in names:
        schedule(
            "chores.kind.record", name, name=name, next_run=soon, cluster=each.queue
        )
    moved, deleted = names[::2], names[1::2]
    for name in names:
        row = Schedule.objects.filter(name=name)
        if name in moved:
            row.update(next_run=timezone.now() + dt.timedelta(seconds=0.5))
        else:
            row.delete()
        time.sleep(0.05)  # so that some come before their slot, and some after it
    wait_for(lambda: not Schedule.objects.filter(cluster=each.queue).exists())
    for name in moved:
        ledger.wait(name, "ran")
    cluster.wait_idle()
    assert [len(ledger.entries(name)) for name in moved] == [1] * len(moved)
    runs = [len(ledger.entries(name)) for name in deleted]
    assert set(runs) <= {0, 1}


# -- packages ----------------------------------------------------------------------------
@pytest.mark.fault("G1")
@pytest.mark.fault("G5")
@pytest.mark.fault("G6")
@pytest.mark.fault("G8")
def test_bad_packages_are_set_aside_and_the_others_go_on(
    each, cluster, ledger, key, tmp_path
):
    bomb = tmp_path / "opened"
    bad = bad_packages(bomb, each.queue)
    before = quarantined(cluster)
    current.broker(each.queue).enqueue_many(list(bad.values()))
    assert result(send(each, "chores.kind.record", key, 1), wait=60_000) == 1
    cluster.wait_for(lambda: quarantined(cluster) >= before + len(bad))
    assert ledger.entries("never") == []
    assert not bomb.exists()
    pickle.loads(bad["a pickle"])
    assert bomb.exists(), "it would have been noticed"


def quarantined(cluster):
    return cluster.wait_for(lambda: cluster.snapshot).quarantined


@pytest.mark.fault("G7")
def test_a_pickle_is_not_opened_however_well_it_is_signed(
    each, cluster, ledger, tmp_path
):
    bomb = tmp_path / "opened"
    task = pickled(bomb, each.queue)
    current.broker(each.queue).enqueue(current.signer.sign(task))
    record = fetch(task.id, wait=60_000)
    assert not record.success
    assert "accept_content" in record.result
    assert not bomb.exists()


@pytest.mark.fault("G9")
def test_a_package_of_a_later_release_is_given_back(each, cluster):
    package = current.signer.sign(build("chores.kind.add", (1,), cluster=each.queue))
    broker = current.broker(each.queue)
    broker.enqueue(of_a_later_release(package, current.signer))
    cluster.wait_for(lambda: "has version 9" in cluster.log)
    wait_for(lambda: (broker.queue_size(), broker.lock_size()) == (1, 0))
    broker.purge_queue()


@pytest.mark.fault("G4")
def test_a_copy_of_a_package_does_not_run_beside_it(each, cluster, ledger, key):
    """One that comes later runs, as documented, and changes nothing of what is stored."""
    broker = current.broker(each.queue)
    task = build("chores.kind.hold", (key,), cluster=each.queue)
    package = current.signer.sign(task)
    broker.enqueue(package)
    ledger.wait(key, "began")
    broker.enqueue(package)
    cluster.wait_for(lambda: f"{task.id} was delivered twice" in cluster.log)
    let_go(key)
    assert result(task.id, wait=60_000) == key
    assert len(ledger.entries(key, "began")) == 1
    before = fetch(task.id)
    # the one that was left is gone, and the first is in nobody's hands any more
    cluster.wait_idle()
    wait_until_forgotten(each.queue)
    broker.enqueue(package)
    ledger.wait(key, "ended", 2)
    cluster.wait_idle()
    after = fetch(task.id)
    assert (after.started, after.attempt_count) == (before.started, 1)


@pytest.mark.fault("F4")
def test_a_scheduled_task_that_was_sent_twice_runs_once(each, cluster, ledger, key):
    task = build(
        "chores.kind.record", (key,), task_id=new_id(), slot=time.time(),
        cluster=each.queue,
    )  # fmt: skip
    package = current.signer.sign(task)
    current.broker(each.queue).enqueue(package)
    ledger.wait(key, "ran")
    cluster.wait_idle()
    wait_until_forgotten(each.queue)
    current.broker(each.queue).enqueue(package)
    cluster.wait_idle()
    assert len(ledger.entries(key)) == 1


# -- what an administrator does ------------------------------------------------------------
@pytest.mark.fault("D15")
def test_a_package_that_is_deleted_under_its_task_is_no_trouble(
    each, cluster, ledger, key, calm
):
    broker = current.broker(each.queue)
    tasks = [
        build("chores.kind.hold", (f"{key} {n}",), cluster=each.queue) for n in range(2)
    ]
    first, _ = broker.enqueue_many([current.signer.sign(task) for task in tasks])
    began = [ledger.wait(f"{key} {number}", "began")[0] for number in range(2)]
    broker.delete(first)
    broker.purge_queue()
    for number, task in enumerate(tasks):
        let_go(f"{key} {number}")
        # on a machine that is slow, its lease may have to be renewed before it ends
        stopped = f"the lease of {task.id} was lost"
        record = wait_for(partial(stored_or_told, task.id, cluster, stopped))
        if record is True:
            calm.workers_may_end = True
            wait_for_replacement(cluster, task.id, began[number].pid)
        else:
            assert record.result == f"{key} {number}"
    assert result(send(each, "chores.kind.record", key, 1), wait=60_000) == 1


def stored_or_told(task_id, cluster, words):
    return fetch(task_id) or words in cluster.log


def wait_for_replacement(cluster, task_id, worker):
    """Wait until a task is over whose lease was lost, and its worker, if it was stopped."""
    over = f"the lease of {task_id} was lost; its end is not recorded"
    cluster.wait_for(lambda: over in cluster.log)
    if f"id={task_id} has no lease: stopped" in cluster.log:
        cluster.wait_complete(without=[worker])


# -- coroutines ----------------------------------------------------------------------------
@pytest.mark.fault("B31")
def test_a_coroutine_sends_a_task_and_awaits_its_result(each, cluster):
    """Again and again in the same workers, which it leaves as it has found them."""
    for value in range(4):
        task_id = send(each, "chores.kind.send_and_await", each.queue, value)
        assert result(task_id, wait=60_000) == value + 1
    assert "left a thread" not in cluster.log


@pytest.mark.fault("B31")
def test_a_coroutine_that_would_keep_its_loop_waiting_is_told_what_to_call(
    each, cluster
):
    task_id = send(
        each, "chores.kind.send_as_if_it_were_sync", each.queue, max_attempts=1
    )
    record = fetch(task_id, wait=60_000)
    assert record.result.startswith("CallError: async_task() was called in an event")
    assert "await aenqueue(...)" in record.result


# -- transactions --------------------------------------------------------------------------
@pytest.mark.fault("C8")
def test_a_row_that_has_gone_is_a_failure_like_any_other(each, cluster):
    row = Schedule.objects.create(name="gone soon", func="builtins.list", repeats=0)
    pk = row.pk
    row.delete()
    task_id = send(each, "chores.kind.name_of_schedule", pk, max_attempts=1)
    record = fetch(task_id, wait=60_000)
    assert not record.success
    assert "Schedule.DoesNotExist" in record.result


class Abandon(Exception):
    """Rolls a transaction back."""


@pytest.mark.fault("C9")
def test_a_task_starts_after_the_commit_and_never_after_a_rollback(
    each, cluster, ledger, key
):
    """It finds the row that its transaction has made."""
    with pytest.raises(Abandon), transaction.atomic():
        send(each, "chores.kind.record", f"{key} abandoned")
        raise Abandon
    with transaction.atomic():
        row = Schedule.objects.create(name=key, func="builtins.list", repeats=0)
        task_id = send(each, "chores.kind.name_of_schedule", row.pk)
        if each.kind != "sqlite":  # there, this transaction keeps everybody waiting
            meanwhile(each, key, ledger)
    assert result(task_id, wait=60_000) == key
    row.delete()
    assert ledger.entries(f"{key} abandoned") == []


def meanwhile(each, key, ledger):
    """Have another task run, sent over another connection to the same database."""
    ours = connections["default"]

    def send_another():
        connections["default"] = ours.copy()
        send(each, "chores.kind.record", f"{key} meanwhile")
        current.close()
        connections["default"].close()

    thread = threading.Thread(target=send_another)
    thread.start()
    thread.join()
    ledger.wait(f"{key} meanwhile", "ran")
