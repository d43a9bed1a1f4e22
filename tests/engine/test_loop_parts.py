"""The parts of the dispatcher's loop: capacity, deadlines, deaths, pool, restarts."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from chores.ledger import wait_for
from hypothesis import given
from hypothesis import strategies as st
from support.fake_services import FakeServices

from qcore.engine.dispatcher import outages
from qcore.engine.dispatcher.capacity import Capacity
from qcore.engine.dispatcher.deaths import Deaths
from qcore.engine.dispatcher.job import Job, KillReason
from qcore.engine.dispatcher.leases import Leases
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.outages import Outage
from qcore.engine.dispatcher.pool import BOTH, READ, WorkerHandle, WorkerPool
from qcore.engine.dispatcher.state import SharedState
from qcore.engine.dispatcher.throughput import Throughput
from qcore.engine.dispatcher.watchdog import Deadlines
from qcore.engine.sentinel.restarts import RestartDelay
from qcore.engine.wire.channel import Channel, read_frame
from qcore.engine.wire.messages import END, unpack_order
from qcore.envelope import Delivery, Task, new_id


def make_job(**task):
    fields = {
        "id": new_id(),
        "name": "n",
        "func": "a.b",
        "queue": "q",
        "created": 0.0,
        "content": "json",
        "body": b"[[],{}]",
    }
    return Job(Task(**(fields | task)), Delivery(("r", 1), b"p", 1, 100.0))


class Bench:
    """A worker pool whose workers are this test."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.pool = WorkerPool(self.selector)
        self.ends = {}

    def hire(self, pid, *, ready=True):
        ours, theirs = socket.socketpair()
        worker = WorkerHandle(pid, pid, Channel(ours))
        self.ends[pid] = theirs
        self.pool.add(worker)
        if ready:
            self.pool.come_up(worker)
        return worker

    def events(self, worker):
        return self.selector.get_key(worker.channel).events

    def close(self):
        for worker in self.pool:
            self.pool.remove(worker)
        for end in self.ends.values():
            end.close()
        self.selector.close()


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


# -- pool ----------------------------------------------------------------------------
def test_a_worker_that_has_not_come_up_gets_nothing(bench):
    worker = bench.hire(1, ready=False)
    assert not bench.pool.idle
    assert bench.pool.statuses()[0].state == "starting"
    bench.pool.come_up(worker)
    assert list(bench.pool.idle) == [worker]


def test_the_worker_that_was_busy_last_is_asked_first(bench):
    first, second = bench.hire(1), bench.hire(2)
    assert bench.pool.idle.pop() is second
    bench.pool.free(second)
    assert bench.pool.idle.pop() is second
    assert bench.pool.idle.pop() is first


def test_an_order_to_a_stopped_worker_waits_in_parts(bench):
    """The loop goes on meanwhile, and sends the rest when the worker reads again."""
    worker = bench.hire(1)
    order = os.urandom(3_000_000)
    assert bench.pool.order(worker, order)
    assert bench.events(worker) == BOTH
    bench.pool.flush(worker)
    assert bench.events(worker) == BOTH, "nobody has read"
    found = []
    reader = threading.Thread(target=lambda: found.append(read_frame(bench.ends[1])))
    reader.start()
    while bench.events(worker) == BOTH:
        bench.selector.select(5)
        bench.pool.flush(worker)
    reader.join()
    assert found == [order]
    assert bench.events(worker) == READ


def test_an_order_to_a_worker_that_has_gone(bench):
    worker = bench.hire(1)
    bench.ends[1].close()
    assert not bench.pool.order(worker, b"order")


def test_a_worker_that_dies_with_half_an_order(bench):
    worker = bench.hire(1)
    bench.pool.order(worker, bytes(3_000_000))
    bench.ends[1].close()
    bench.pool.flush(worker)
    assert bench.events(worker) == READ, "its end is heard of by reading"


def heard(bench, pid):
    """What a worker has been told, if anything."""
    bench.ends[pid].setblocking(False)
    try:
        return unpack_order(read_frame(bench.ends[pid])).kind
    except BlockingIOError:
        return None


def test_end_all(bench):
    idle, busy, young = bench.hire(1), bench.hire(2), bench.hire(3, ready=False)
    bench.pool.idle.remove(busy)
    busy.job = make_job()
    bench.pool.end_all()
    bench.pool.end_all()
    assert not bench.pool.idle
    assert (heard(bench, 1), heard(bench, 2), heard(bench, 3)) == (END, None, END)
    assert heard(bench, 1) is None, "once is enough"
    bench.pool.come_up(young)
    bench.pool.free(busy)
    assert heard(bench, 2) == END
    assert not bench.pool.idle
    assert {s.state for s in bench.pool.statuses()} == {"ending"}
    assert idle.ending


def test_a_worker_is_removed(bench):
    worker = bench.hire(1)
    bench.pool.remove(worker)
    assert (len(bench.pool), list(bench.pool.idle)) == (0, [])
    assert bench.pool.get(1) is None


def test_statuses(bench):
    busy, _ = bench.hire(2), bench.hire(1)
    busy.job = make_job(name="mail", func="shop.mail")
    busy.job.assigned_at = time.monotonic() - 3
    first, second = bench.pool.statuses()
    assert (first.index, first.state) == (1, "idle")
    assert (second.state, second.task_name, second.func) == (
        "busy",
        "mail",
        "shop.mail",
    )
    assert second.seconds == pytest.approx(3, abs=0.5)


# -- deadlines -----------------------------------------------------------------------
@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=20))
def test_deadlines_pass_in_order_and_only_for_what_runs(limits):
    deadlines = Deadlines()
    expected = []
    for when, ended in limits:
        worker, job = WorkerHandle(1, 1, channel=None), make_job()
        worker.job = None if ended else job
        deadlines.add(float(when), worker, job)
        if not ended:
            expected.append((float(when), job))
    expected.sort(key=lambda pair: pair[0])
    assert deadlines.next() == (expected[0][0] if expected else None)
    early = [job for when, job in expected if when <= 25]
    late = [job for when, job in expected if when > 25]
    assert [job for _, job in deadlines.passed(25.0)] == early
    assert deadlines.passed(25.0) == [], "each once"
    assert [job for _, job in deadlines.passed(50.0)] == late


def test_a_deadline_of_an_earlier_task_is_not_that_of_the_next():
    deadlines = Deadlines()
    worker, first, second = WorkerHandle(1, 1, channel=None), make_job(), make_job()
    deadlines.add(1.0, worker, first)
    worker.job = second
    deadlines.add(9.0, worker, second)
    assert deadlines.passed(5.0) == []
    assert deadlines.next() == 9.0


# -- deaths ----------------------------------------------------------------------------
class Graveyard:
    """Deaths, with what becomes of the jobs."""

    def __init__(self, name):
        self.fakes = FakeServices(f"deaths {name}")
        self.recorded, self.reported = [], []
        self.deaths = Deaths(
            self.fakes.shared,
            Leases(self.fakes.shared, self.fakes.ready),
            self,
            self.fakes.ready,
            self,
        )

    def record(self, job):
        self.recorded.append(job)

    def put(self, *failure):
        self.reported.append(failure[3])

    def worker(self, *, has_job):
        job = self.fakes.running() if has_job else None
        return WorkerHandle(7, 1, channel=None, job=job)


@pytest.fixture
def graveyard(request):
    return Graveyard(request.node.name)


def test_a_death_and_how_it_came(graveyard):
    worker = graveyard.worker(has_job=True)
    job = worker.job
    graveyard.deaths.gone(worker)
    assert graveyard.recorded == [], "its process may live"
    graveyard.deaths.died(7, 9)
    assert graveyard.recorded == [job]
    assert "killed by SIGKILL, probably out of memory" in graveyard.reported[0]
    assert worker.job is None
    assert graveyard.deaths.next() is None


@pytest.mark.parametrize(
    ("killed", "told"),
    [
        (True, "closed its worker's connection to the cluster or wrote on this"),
        (False, "died under the task: killed by SIGKILL, probably out of memory"),
    ],
)
def test_a_death_that_is_told_late_is_not_a_kill(graveyard, killed, told):
    """The loop asks for a kill where a socket has closed, and the process was dead."""
    worker = graveyard.worker(has_job=True)
    job = worker.job
    graveyard.deaths.gone(worker)
    job.killed = KillReason.CLOSED
    graveyard.deaths.died(7, 9, killed=killed)
    assert graveyard.recorded == [job]
    assert told in str(job.ended.value)


def test_a_death_without_a_job_is_nobodys_affair(graveyard):
    graveyard.deaths.died(7, 3 << 8)
    graveyard.deaths.gone(graveyard.worker(has_job=False))
    graveyard.deaths.died(7, 3 << 8)
    assert (graveyard.recorded, graveyard.reported) == ([], [])
    assert graveyard.deaths.next() is None


@pytest.mark.fault("B26")
@pytest.mark.parametrize("has_job", [True, False])
def test_a_process_that_does_not_end_is_killed_until_it_is_dead(graveyard, has_job):
    deaths, worker = graveyard.deaths, graveyard.worker(has_job=has_job)
    deaths.gone(worker)
    for _ in range(3):
        at = deaths.next()
        assert deaths.undead(at - 0.1) == []
        assert deaths.undead(at) == [worker]
        assert deaths.undead(at) == [], "not at once again"
        assert graveyard.recorded == [], "nobody else may have its job"
        assert graveyard.fakes.shared.count(JobState.RUNNING) == has_job


# -- capacity --------------------------------------------------------------------------------
def test_capacity_is_what_may_wait_and_who_is_idle():
    capacity = Capacity(4)
    capacity.update(0, waiting=0, idle=2, limit=4)
    assert capacity.wait(0) == 6
    capacity.arrive(5)
    assert capacity.wait(0) == 1
    capacity.update(5, waiting=3, idle=0, limit=4)
    assert capacity.wait(0) == 1
    capacity.update(0, waiting=4, idle=0, limit=4)
    assert capacity.wait(0) == 0
    capacity.update(0, waiting=4, idle=0, limit=9)
    assert capacity.wait(0) == 5, "the limit may grow with the pace of the tasks"


@given(
    limit=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=30),
)
def test_the_capacity_is_never_overdrawn(limit, steps):
    """Whatever the pace of pusher and loop, no more waits than may."""
    capacity, arriving, waiting = Capacity(limit), 0, 0
    for wanted, idle in steps:
        capacity.update(0, waiting, idle, limit)
        taken = min(wanted, capacity.wait(0))
        capacity.arrive(taken)
        arriving += taken
        assert waiting + arriving <= limit + idle
        waiting = max(0, waiting + arriving - idle)
        capacity.update(arriving, waiting, 0, limit)
        arriving = 0


def test_the_pusher_is_woken_when_half_is_free():
    capacity = Capacity(10)
    capacity.update(0, waiting=10, idle=0, limit=10)
    found = []
    thread = threading.Thread(target=lambda: found.append(capacity.wait(20)))
    thread.start()
    while not capacity._sleeping:
        time.sleep(0.001)
    capacity.update(0, waiting=6, idle=0, limit=10)
    assert thread.is_alive(), "four are too few to bother"
    capacity.update(0, waiting=5, idle=0, limit=10)
    thread.join(60)
    assert found == [5]


def test_a_closed_capacity_wakes_and_has_no_place():
    capacity = Capacity(1)
    capacity.update(0, waiting=1, idle=0, limit=1)
    found = []
    thread = threading.Thread(target=lambda: found.append(capacity.wait(20)))
    thread.start()
    capacity.close()
    thread.join(60)
    assert found == [0]
    capacity.update(0, waiting=0, idle=5, limit=1)
    assert capacity.wait(0) == 0


# -- throughput --------------------------------------------------------------------------------
def test_the_throughput_is_that_of_the_last_moments():
    throughput = Throughput(0.0)
    assert throughput.ahead() == 0
    for step in range(1, 100):
        throughput.note(20, step / 50)
    assert throughput.ahead() == pytest.approx(50, abs=1), "1000 a second, for 50 ms"
    for step in range(100, 200):
        throughput.note(0, step / 50)
    assert throughput.ahead() == 0


def test_the_throughput_looks_no_further_than_a_thousand_tasks():
    throughput = Throughput(0.0)
    throughput.note(10**9, 1.0)
    assert throughput.ahead() == 1000


# -- restarts ----------------------------------------------------------------------------
def test_a_process_that_dies_in_its_start_is_replaced_ever_later():
    backoff = RestartDelay()
    delays = [backoff.after(0.05, well=False) for _ in range(12)]
    assert delays[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 30.0


@pytest.mark.parametrize(("lifetime", "well"), [(0.05, True), (2.0, False)])
def test_a_good_life_ends_the_delay(lifetime, well):
    backoff = RestartDelay()
    for _ in range(5):
        backoff.after(0.05, well=False)
    assert backoff.after(lifetime, well=well) == 0.0
    assert backoff.after(0.05, well=False) == 0.0
    assert backoff.after(0.05, well=False) == 0.1


# -- outages ------------------------------------------------------------------------------
def test_an_outage_shows_the_problem_while_it_lasts(caplog):
    shared = SharedState()
    outage = Outage("pusher", shared, first=0.001, longest=0.004)
    with caplog.at_level(logging.INFO, "qcore.pusher"):
        for _ in range(4):
            outage.wait_out(OSError("no broker"))
        assert shared.problems == {"pusher": "no broker"}
        outage.over()
        outage.over()
    assert shared.problems == {}
    assert [record.message for record in caplog.records] == [
        "no broker; trying again in 0.0 s"
    ] * 4 + ["working again"]


class Stopping:
    """An event that is not waited for, and that says how long it would have been."""

    def __init__(self):
        self.waits = []
        self.is_there = False

    def is_set(self):
        return self.is_there

    def wait(self, seconds):
        self.waits.append(seconds)


def test_a_pause_is_a_part_of_the_time_that_the_trouble_has_lasted(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(outages, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    shared = SharedState(stopping=Stopping())
    outage = Outage("pusher", shared)
    for clock[0] in (0.0, 0.4, 2.0, 100.0):
        outage.wait_out(OSError("no broker"))
    outage.over()
    outage.wait_out(OSError("no broker"))
    assert shared.stopping.waits == [0.2, 0.2, 0.5, 5.0, 0.2]


@pytest.mark.fault("E17")
def test_a_stop_shortens_the_pauses_and_skips_none(monkeypatch):
    """Without any, one thread made 4,000 tries a second, each with a line in the log."""
    clock, slept = [0.0], []
    monkeypatch.setattr(
        outages,
        "time",
        SimpleNamespace(monotonic=lambda: clock[0], sleep=slept.append),
    )
    shared = SharedState(stopping=Stopping())
    outage = Outage("recorder", shared)
    outage.wait_out(OSError("no database"))
    shared.stopping.is_there = True
    for clock[0] in (1.0, 30.0, 300.0):
        outage.wait_out(OSError("no database"))
    assert slept == [0.2, 0.2, 0.2]


def test_an_outage_ends_at_a_stop():
    shared = SharedState()
    outage = Outage("pusher", shared, first=300)
    waits = threading.Thread(target=outage.wait_out, args=[OSError("no broker")])
    waits.start()
    wait_for(lambda: shared.problems)
    shared.stopping.set()
    waits.join(60)
    assert not waits.is_alive()


# -- shared state ---------------------------------------------------------------------------------
def test_settling_a_delivery_forgets_the_newest_only():
    shared, older, newer = SharedState(), make_job(id="a" * 32), make_job(id="a" * 32)
    shared.held |= {older, newer}
    shared.active["a" * 32] = newer
    shared.settle(older, JobState.LOST)
    assert (shared.held, shared.active) == ({newer}, {"a" * 32: newer})
    shared.settle(newer, JobState.LOST)
    shared.settle(newer, JobState.LOST)
    assert (shared.held, shared.active) == (set(), {})
