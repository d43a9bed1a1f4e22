"""What people ask of a cluster, in its dispatcher: step by step, and with the thread."""

from __future__ import annotations

import threading

import msgspec
import pytest
from chores.ledger import wait_for
from support.fake_services import FakeServices
from support.stepped import Stepped
from support.stopped_clock import stop_time

from qcore.engine.dispatcher import controlling as controlling_module
from qcore.engine.dispatcher.capacity import Capacity
from qcore.engine.dispatcher.controlling import Controlling
from qcore.engine.dispatcher.status import ClusterStatus
from qcore.envelope import Outcome
from qcore.errors import StoreError
from qcore.results.memory import MemoryStore
from qcore.settled import TicketState
from qcore.status import Pause


class Paused:
    """A stepped dispatcher, whose queue can be paused."""

    def __init__(self, clock, name, **settings):
        MemoryStore.clear()
        self.it = Stepped(
            f"control {name}",
            clock,
            lambda note: None,
            **({"workers": 1, "queue_limit": 4} | settings),
        )
        self.control = Controlling(
            self.it.fakes.services,
            self.it.shared,
            self.it.dispatcher._capacity,
            self.it.dispatcher._ready.wake,
        )
        self.control.apply(None)
        self.it.turn()

    def round(self):
        self.it.push()
        self.it.turn()
        self.it.record()
        self.it.turn()

    def pause(self):
        self.control.apply(Pause(queue="q", at=1.0, by="ann"))

    def resume(self):
        self.control.apply(None)


@pytest.fixture
def clock(monkeypatch):
    return stop_time(monkeypatch)


@pytest.fixture
def cluster(clock, request):
    made = Paused(clock, request.node.name)
    yield made
    made.it.lose()


@pytest.mark.fault("P1")
def test_what_runs_ends_and_what_has_not_begun_goes_back(cluster):
    it = cluster.it
    tasks = [it.fakes.send() for _ in range(4)]
    cluster.round()
    (worker,) = it.workers
    it.begin(worker)
    assert (it.fakes.waiting, len(it.shared.held)) == (0, 4)
    cluster.pause()
    cluster.round()
    assert (it.fakes.waiting, len(it.shared.held)) == (3, 1)
    it.end(worker, Outcome.SUCCESS)
    cluster.round()
    assert not it.shared.held
    stored = MemoryStore.finished(it.fakes.store, [task.id for task in tasks])
    assert len(stored) == 1
    # nothing begins, however often it is looked for
    for _ in range(3):
        cluster.round()
        it.begin(worker)
        assert worker.current is None
    assert it.fakes.waiting == 3
    cluster.resume()
    for _ in range(4):
        cluster.round()
        it.begin(worker)
        it.end(worker, Outcome.SUCCESS)
    cluster.round()
    stored = MemoryStore.finished(it.fakes.store, [task.id for task in tasks])
    assert len(stored) == 4
    assert not it.shared.held


@pytest.mark.fault("P1")
def test_what_a_claim_brings_as_the_pause_begins_goes_back(cluster):
    it = cluster.it
    it.fakes.send()
    dequeue = it.fakes.broker.dequeue

    def late(*given):
        deliveries = dequeue(*given)
        cluster.pause()  # while the broker answers
        return deliveries

    it.fakes.broker.dequeue = late
    it.push()
    it.fakes.broker.dequeue = dequeue
    cluster.round()
    assert (it.fakes.waiting, it.fakes.claimed, len(it.shared.held)) == (1, 0, 0)


def test_nothing_is_given_back_while_our_own_claim_may_take_it_again(cluster):
    """Each claim counts as an attempt."""
    it = cluster.it
    it.shared.claims_ended.clear()  # as the thread of the pusher does when it begins
    cluster.pause()
    it.push()
    assert it.shared.claims_ended.is_set()
    cluster.resume()
    it.push()
    assert not it.shared.claims_ended.is_set()


def test_a_cluster_that_runs_once_ends_where_its_queue_is_paused(cluster):
    it = cluster.it
    it.fakes.send()
    it.loop._run_once = True
    cluster.pause()
    cluster.round()
    assert it.shared.queue_empty.is_set()
    it.loop.is_done()
    assert it.loop._run_once is False, "it has told the sentinel that nothing is left"


def test_the_status_has_two_words(cluster):
    it = cluster.it
    status = ClusterStatus(
        it.fakes.services, it.shared, it.loop.pool, cluster="c" * 32, started=0.0
    )
    assert (status.snapshot().state, status.snapshot().pause) == ("running", None)
    cluster.pause()
    assert status.snapshot().state == "paused"
    assert status.snapshot().pause.by == "ann"
    it.shared.report_problem("pusher", "the broker is away")
    assert status.snapshot().state == "degraded"
    assert status.snapshot().pause.by == "ann"
    cluster.resume()
    it.shared.clear_problem("pusher")
    assert (status.snapshot().state, status.snapshot().pause) == ("running", None)


# -- the thread ------------------------------------------------------------------------------
class Watch:
    """What people ask, as a test says it."""

    def __init__(self):
        self.answer: Pause | Exception | None = None
        self.looks = 0
        self.is_closed = False

    def look(self):
        self.looks += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer, False

    def wait(self, stopping, seconds):
        stopping.wait(0.001)

    def close(self):
        self.is_closed = True


@pytest.fixture
def thread(monkeypatch, request):
    """Start the thread on a watch, or on none; it ends with the test."""
    fakes = FakeServices(request.node.name)
    capacity = Capacity(4)
    capacity.update(0, 0, 1, 4)
    running = []

    def start(make):
        services = fakes.services
        msgspec.structs.force_setattr(services, "make_watch", make)
        control = Controlling(services, fakes.shared, capacity, lambda: None)
        running.append(threading.Thread(target=control.run, daemon=True))
        return running[0].start, capacity, fakes.shared

    yield start
    fakes.shared.stopping.set()
    for one in running:
        if one.ident is not None:
            one.join(60)
        assert not one.is_alive()


@pytest.mark.fault("P2")
def test_nothing_is_claimed_before_it_is_known(thread, monkeypatch):
    monkeypatch.setattr(controlling_module, "_FIRST", 3600.0)
    watch = Watch()
    watch.answer = Pause(queue="q", at=1.0)
    start, capacity, shared = thread(lambda: watch)
    assert capacity.wait(0) == 0
    start()
    wait_for(lambda: shared.pause)
    assert capacity.wait(0) == 0
    watch.answer = None
    wait_for(lambda: capacity.wait(0) == 5)
    assert shared.pause is None


@pytest.mark.fault("P3")
def test_a_ledger_that_is_away_keeps_no_plain_task_waiting(thread, monkeypatch):
    monkeypatch.setattr(controlling_module, "_FIRST", 3600.0)
    watch = Watch()
    watch.answer = StoreError("the ledger is away")
    start, capacity, shared = thread(lambda: watch)
    start()
    wait_for(lambda: capacity.wait(0) == 5)
    wait_for(lambda: shared.problems.get("control") == "the ledger is away")
    watch.answer = Pause(queue="q", at=1.0)
    wait_for(lambda: shared.pause)
    wait_for(lambda: not shared.problems)
    watch.answer = StoreError("the ledger is away once more")
    wait_for(lambda: shared.problems)
    assert shared.pause is not None, "what was known stays"
    assert capacity.wait(0) == 0


@pytest.mark.fault("P3")
def test_a_ledger_that_does_not_answer_holds_up_a_start_for_seconds(
    thread, monkeypatch
):
    monkeypatch.setattr(controlling_module, "_FIRST", 0.0)
    _, capacity, _ = thread(Watch)
    assert capacity.wait(0) == 5, "its thread has not even begun"


def test_without_a_ledger_nobody_looks(thread, monkeypatch):
    monkeypatch.setattr(controlling_module, "_FIRST", 3600.0)
    start, capacity, _ = thread(lambda: None)
    start()
    wait_for(lambda: capacity.wait(0) == 5)


# -- cancelled tasks -------------------------------------------------------------------------
class Marked(Watch):
    """A ledger with marks: of these tasks."""

    def __init__(self, *ids):
        super().__init__()
        self.ids = set(ids)

    def cancelled(self, ids):
        return {id: TicketState(cancelled=1.0) for id in ids if id in self.ids}


def stored(cluster, id):
    found = MemoryStore.fetch(cluster.it.fakes.store, id)
    return None if found is None else found.outcome


@pytest.mark.fault("P4")
def test_a_task_that_runs_is_told_once_and_ends_as_cancelled(cluster):
    it = cluster.it
    task = it.fakes.send()
    cluster.round()
    (worker,) = it.workers
    it.begin(worker)
    it.on_cancel = lambda worker: it.end(worker, Outcome.CANCELLED)
    marked = Marked(task.id)
    for _ in range(3):
        cluster.control.cancel(marked, has_marks=True)
        it.turn()
    assert it.cancels == [worker.pid]
    cluster.round()
    assert stored(cluster, task.id) == Outcome.CANCELLED
    assert (it.fakes.waiting, it.fakes.claimed, len(it.shared.held)) == (0, 0, 0)


@pytest.mark.fault("P4")
def test_one_that_does_not_end_is_killed_after_its_grace(cluster, clock):
    it = cluster.it
    task = it.fakes.send()
    cluster.round()
    (worker,) = it.workers
    it.begin(worker)
    cluster.control.cancel(Marked(task.id), has_marks=True)
    it.turn()
    clock.advance(it.fakes.conf.grace - 0.1)
    it.turn()
    assert worker in it.workers
    clock.advance(0.2)
    it.turn()
    cluster.round()
    assert worker not in it.workers
    assert stored(cluster, task.id) == Outcome.CANCELLED
    assert not it.shared.held


@pytest.mark.fault("P4")
def test_a_success_that_was_faster_wins(cluster):
    it = cluster.it
    task = it.fakes.send()
    cluster.round()
    (worker,) = it.workers
    it.begin(worker)
    it.end(worker, Outcome.SUCCESS)
    cluster.control.cancel(Marked(task.id), has_marks=True)
    cluster.round()
    assert stored(cluster, task.id) == Outcome.SUCCESS
    assert not it.shared.held


@pytest.mark.fault("P5")
def test_what_waits_in_the_cluster_never_begins(cluster):
    it = cluster.it
    tasks = [it.fakes.send() for _ in range(3)]
    cluster.round()
    (worker,) = it.workers
    it.begin(worker)
    waiting = [task.id for task in tasks if task != it.task_of(worker.current)]
    cluster.control.cancel(Marked(*waiting), has_marks=True)
    for _ in range(3):
        it.end(worker, Outcome.SUCCESS)
        cluster.round()
        it.begin(worker)
    assert [stored(cluster, id) for id in waiting] == [Outcome.CANCELLED] * 2
    assert it.fakes.waiting == 0
    assert not it.shared.held


@pytest.mark.fault("P5")
@pytest.mark.parametrize("known", [False, True], ids=["in its start", "after a pause"])
def test_a_cluster_that_may_claim_again_knows_that_there_are_marks(cluster, known):
    """It claims in the very moment in which it may."""
    it = cluster.it
    if known:
        cluster.pause()
    else:
        cluster.control._known = False
    marked = Marked()
    marked.look = lambda: (None, True)
    seen = []
    capacity = it.dispatcher._capacity
    resume = capacity.resume

    def resume_and_claim():
        resume()
        seen.append(it.shared.has_marks)

    capacity.resume = resume_and_claim
    cluster.control.heed(marked)
    assert seen == [True]
