"""Tasks that expire, and tasks of a priority, in a dispatcher that is driven step by step."""

from __future__ import annotations

import datetime as dt
import itertools
import random

import pytest
from support.fake_services import FakeServices
from support.stepped import Stepped
from support.stopped_clock import stop_time

from qcore.brokers.memory import MemoryBroker
from qcore.conf import Conf
from qcore.engine.dispatcher.deliveries import Deliveries
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.ready import ReadyQueue
from qcore.engine.dispatcher.retries import Decision, decide
from qcore.envelope import Attempt, Outcome
from qcore.results.memory import MemoryStore
from qcore.tasks.execute import execute
from qcore.tasks.moments import expired

LEASE = 60.0
_queues = itertools.count(1)


class Life:
    """One dispatcher with one worker, on a clock that stands still."""

    def __init__(self, clock, **settings):
        self.clock = clock
        given = {
            "retry": LEASE,
            "renew": True,
            "workers": 1,
            "queue_limit": 4,
            **settings,
        }
        self.it = Stepped(f"expiry {next(_queues)}", clock, lambda note: None, **given)
        self.it.turn()

    @property
    def worker(self):
        return self.it.workers[0]

    @property
    def store(self):
        return self.it.fakes.store

    def round(self):
        self.it.turn()
        self.it.push()
        self.it.turn()
        self.it.record()

    def end(self, outcome=Outcome.SUCCESS):
        self.it.begin(self.worker)
        self.it.end(self.worker, outcome)
        self.round()


@pytest.fixture
def life(monkeypatch):
    clock = stop_time(monkeypatch)
    MemoryStore.clear()
    life = Life(clock)
    yield life
    life.it.lose()


# -- expires -----------------------------------------------------------------------------
@pytest.mark.fault("M1")
def test_a_task_that_has_expired_never_reaches_a_worker(life, transitions):
    task = life.it.fakes.send(expires=life.clock.at - 1)
    other = life.it.fakes.send(expires=life.clock.at + 1)
    life.round()
    assert transitions.seen[JobState.CLAIMED, JobState.ENDED] == 1
    record = life.store.fetch(task.id)
    assert (record.outcome, record.attempt_count) == ("expired", 1)
    life.end()
    assert life.store.fetch(other.id).success
    assert (life.it.fakes.waiting, life.it.fakes.claimed) == (0, 0)


@pytest.mark.fault("M1")
def test_a_task_that_expires_while_it_waits_for_a_worker(
    life, transitions, monkeypatch
):
    """It was claimed in time; all workers were busy until it was too late."""
    monkeypatch.setattr(
        life.it.loop._throughput, "depth", lambda _: 0
    )  # nothing is laid ahead
    life.it.fakes.send()
    life.round()
    life.it.begin(life.worker)
    task = life.it.fakes.send(expires=life.clock.at + 5)
    life.round()
    life.clock.advance(6)
    life.end()
    life.round()
    assert life.store.fetch(task.id).outcome == "expired"
    assert transitions.seen[JobState.READY, JobState.ENDED] == 1
    assert life.it.fakes.claimed == 0


@pytest.mark.fault("M1")
def test_a_task_that_expires_while_its_order_lies_ahead():
    """The worker looks, too, before it begins."""
    fakes = FakeServices(f"expiry {next(_queues)}")
    end, error = execute(fakes.task(func="chores.kind.fail", expires=1.0), 1, "here:1")
    assert (end.outcome, error) == ("expired", None)


def test_its_hook_is_called(life):
    task = life.it.fakes.send(expires=life.clock.at - 1, hook="a.hook")
    life.round()
    assert life.store.fetch(task.id).outcome == "expired"
    life.round()
    life.it.begin(life.worker)
    assert life.worker.current.ended.outcome == "expired", "a follow-up, and no run"
    life.it.end(life.worker, Outcome.SUCCESS)
    life.round()
    assert life.it.fakes.claimed == 0


def test_a_success_that_is_stored_does_not_expire(life):
    """Its acknowledgement was lost, and its time is over."""
    task = life.it.fakes.send(expires=life.clock.at + 5)
    life.it.fakes.failures["acknowledge"] = [OSError("cut"), OSError("cut")]
    life.round()
    life.end()
    life.clock.advance(LEASE + 1)
    life.round()
    assert life.store.fetch(task.id).success


def test_an_end_by_expiry_is_final():
    fakes = FakeServices(f"expiry {next(_queues)}")
    task = fakes.task(expires=1.0)
    result = Attempt.failed(Outcome.EXPIRED, "TaskExpired: late").result(task, 1)
    for settings in ({}, {"max_attempts": 9}, {"ack_failures": False}):
        assert decide(result, 0, Conf(**settings)) is Decision.DONE


# -- priority ------------------------------------------------------------------------------
def jobs_of(fakes, priorities):
    return [fakes.waiting_job(priority=one) for one in priorities]


def take_all(ready):
    taken = []
    while (job := ready.take()) is not None:
        taken.append(job)
    return taken


def test_a_cluster_orders_what_it_has_claimed():
    """Whatever the broker knows of priorities; equal ones go as they came."""
    fakes, ready = FakeServices(f"ready {next(_queues)}"), ReadyQueue()
    jobs = jobs_of(
        fakes, [random.Random(5).choice((-7, 0, 0, 3, 100)) for _ in range(30)]
    )
    for job in jobs:
        ready.append(job)
    assert len(ready) == 30
    wanted = sorted(jobs, key=lambda job: -job.task.priority)  # which is stable
    assert list(ready) == wanted
    assert take_all(ready) == wanted
    ready.close()


def test_what_has_ended_comes_first_and_what_is_put_back_before_its_equals():
    fakes, ready = FakeServices(f"ready {next(_queues)}"), ReadyQueue()
    first, usual, low, high, back, low_back = jobs_of(fakes, [0, 0, -5, 5, 0, -5])
    for job in (usual, low, high):
        ready.append(job)
    first.ended = Attempt.failed(Outcome.FAILURE, "no")
    ready.prepend(first)
    for job in (back, low_back):
        job.move(JobState.RUNNING)
    ready.put_back([back, low_back])
    assert list(ready) == [first, high, back, usual, low_back, low]
    kept = list(ready.withdraw(follow_ups=False))
    assert kept == [high, back, usual, low_back, low]
    assert take_all(ready) == [first]
    ready.close()


def test_the_urgent_one_is_assigned_first(life, monkeypatch):
    """With a broker that knows no priorities: all were claimed in one batch."""
    monkeypatch.setattr(life.it.loop._throughput, "depth", lambda _: 0)
    life.it.fakes.send()
    life.round()
    life.it.begin(life.worker)
    tasks = [life.it.fakes.send(priority=one) for one in (0, -9, 50)]
    life.it.push()
    order = []
    for _ in tasks:
        life.it.end(life.worker, Outcome.SUCCESS)
        life.round()
        life.it.begin(life.worker)
        order.append(life.it.task_of(life.worker.current).priority)
    assert order == [50, 0, -9]


def test_a_link_goes_with_the_priority_of_its_chain(monkeypatch):
    sent = []
    fakes = FakeServices(f"links {next(_queues)}")
    job = fakes.running(priority=9)
    monkeypatch.setattr(
        MemoryBroker,
        "enqueue_with_priority",
        lambda self, packages, priority, *, delay=0: (
            sent.append((priority, packages)) or ["1"]
        ),
    )
    deliveries = Deliveries(fakes.services, fakes.shared)
    deliveries.broker = MemoryBroker(fakes.conf, fakes.queue)
    job.next_package = b"link"
    assert deliveries.send_next([job]) == []
    assert sent == [(9, [b"link"])]


def test_moments_are_told_in_utc():
    fakes = FakeServices(f"expiry {next(_queues)}")
    moment = dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    end = expired(fakes.task(expires=moment.timestamp()))
    assert end.text == "TaskExpired: it had not started by 2020-01-02 03:04:05 UTC"
