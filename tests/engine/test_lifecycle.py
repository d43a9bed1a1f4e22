"""The states of a job: the table of transitions is whole, and all of it happens."""

from __future__ import annotations

import graphlib
import itertools
import logging
import struct

import pytest
from support.stepped import Stepped
from support.stopped_clock import stop_time

from qcore.brokers.memory import MemoryBroker
from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.lifecycle import (
    AFTER,
    EXITS,
    OWNERS,
    TRANSITIONS,
    WITH_THE_LOOP,
    WITH_THE_RECORDER,
    JobState,
)
from qcore.engine.wire.messages import pack_run
from qcore.envelope import Delivery, Outcome
from qcore.results.memory import MemoryStore

LEASE = 60.0
_queues = itertools.count(1)


# -- the table ---------------------------------------------------------------------------
def test_the_table_names_each_transition_once():
    pairs = [(one.source, one.target) for one in TRANSITIONS]
    assert len(pairs) == len(set(pairs))


def test_every_state_is_reached_and_every_job_can_leave():
    reached, look = {JobState.CLAIMED}, [JobState.CLAIMED]
    while look:
        new = AFTER[look.pop()] - reached
        reached |= new
        look += new
    assert reached == set(JobState)
    for state in set(JobState) - EXITS:
        assert leaves(state), f"{state} has no way out"


def leaves(state, seen=frozenset()):
    return any(
        target in EXITS or (target not in seen and leaves(target, seen | {state}))
        for target in AFTER[state]
    )


def test_every_state_belongs_to_somebody():
    assert set(OWNERS) == set(JobState) - {JobState.CLAIMED}
    parts = [{JobState.CLAIMED}, {*WITH_THE_LOOP}, {*WITH_THE_RECORDER}, {*EXITS}]
    assert sorted(itertools.chain(*parts)) == sorted(JobState)


def test_only_what_did_not_work_goes_back():
    """Without the ways back, each job goes one way: no other circle is in the table."""
    back = {
        (JobState.PREFETCHED, JobState.READY),
        (JobState.RUNNING, JobState.READY),
        (JobState.STORED, JobState.READY),
    }
    graph = {}
    for one in TRANSITIONS:
        if (one.source, one.target) not in back:
            graph.setdefault(one.source, set()).add(one.target)
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_a_transition_that_is_not_in_the_table_is_logged(caplog, transitions):
    job = Job(None, Delivery(("r", 1), b"p", 1, 100.0))
    job.task = type("Task", (), {"id": "an id"})
    with caplog.at_level(logging.ERROR, "qcore.dispatcher"):
        job.move(JobState.SETTLED)
    assert "an id went from claimed to settled, which is not foreseen" in caplog.text
    assert job.state is JobState.SETTLED, "it goes on"
    assert len(transitions.wrong) == 1
    transitions.wrong.clear()


# -- histories of what is rare -------------------------------------------------------------
class Life:
    """One dispatcher with one worker, on a clock that stands still."""

    def __init__(self, clock, queue=None, **settings):
        self.clock = clock
        self.queue = queue or f"lifecycle {next(_queues)}"
        given = {
            "retry": LEASE, "renew": True, "timeout": None, "workers": 1,
            "queue_limit": 4, **settings,
        }  # fmt: skip
        self.it = Stepped(self.queue, clock, lambda note: None, **given)
        self.it.turn()

    @property
    def worker(self):
        return self.it.workers[0]

    def round(self):
        self.it.turn()
        self.it.push()
        self.it.turn()
        self.it.record()

    def run_one(self):
        """Let the worker take an order and end it well."""
        self.round()
        self.it.begin(self.worker)
        self.it.end(self.worker, Outcome.SUCCESS)
        self.round()

    def pass_time(self, seconds):
        while seconds > 0:
            self.clock.advance(5.0)
            seconds -= 5.0
            self.it.keep()
            self.round()


@pytest.fixture
def begin(monkeypatch):
    clock = stop_time(monkeypatch)
    MemoryStore.clear()
    lives = []

    def start(**settings):
        lives.append(Life(clock, **settings))
        return lives[-1]

    yield start
    for life in lives:
        life.it.lose()


def test_a_task_of_which_no_order_can_be_written(begin, transitions, monkeypatch):
    life = begin()
    task = life.it.fakes.send()

    def refuse(*_):
        raise struct.error("int too large to convert")

    with monkeypatch.context() as patch:
        patch.setattr("qcore.engine.dispatcher.job.pack_run", refuse)
        life.round()
    assert transitions.seen[JobState.READY, JobState.ENDED] == 1
    assert life.it.fakes.store.fetch(task.id).outcome == Outcome.FAILURE
    assert pack_run(b"", 1, 1)


def test_a_task_that_is_delivered_twice_at_once(begin, transitions):
    life = begin()
    task = life.it.fakes.send()
    package = life.it.fakes.signer.sign(task)
    MemoryBroker.enqueue_many(life.it.fakes.broker, [package])
    life.run_one()
    assert transitions.seen[JobState.READY, JobState.LEFT] == 1
    assert life.it.fakes.store.fetch(task.id).success


def test_a_link_that_cannot_be_made(begin, transitions):
    life = begin()
    life.it.fakes.send(hook="a.hook", links=1)
    life.run_one()
    for _ in range(4):
        life.round()
        life.it.begin(life.worker)
        life.it.crash(life.worker)
        life.round()
    assert transitions.seen[JobState.RUNNING, JobState.LEFT] == 1
    assert life.it.fakes.claimed == 1, "it comes again after its lease"


def test_a_result_that_no_store_takes(begin, transitions):
    life = begin()
    life.it.fakes.send(name="unstorable")
    life.run_one()
    assert transitions.seen[JobState.ENDED, JobState.LEFT] == 1
    assert life.it.fakes.claimed == 1


def test_a_task_whose_end_is_stored_already(begin, transitions):
    """Its cluster was killed before it acknowledged the delivery."""

    class Killed(BaseException):
        pass

    first = begin()
    task = first.it.fakes.send()
    first.it.fakes.failures["acknowledge"] = [Killed()]
    with pytest.raises(Killed):
        first.run_one()
    first.it.lose()
    first.clock.advance(LEASE + 1)
    second = begin(queue=first.queue)
    second.round()
    assert transitions.seen[JobState.CLAIMED, JobState.STORED] == 1
    assert second.it.fakes.store.fetch(task.id).attempt_count == 1
    assert second.it.fakes.claimed == 0, "it is acknowledged"


@pytest.mark.parametrize("delays", [True, False])
def test_a_suspect_for_which_the_cluster_does_not_become_empty(
    begin, transitions, delays
):
    """It is put off; where the broker cannot delay a delivery, its lease does it."""
    first = begin(max_crashes=2)
    first.it.fakes.send()
    first.round()
    first.it.lose()
    first.clock.advance(LEASE + 1)
    second = begin(queue=first.queue, max_crashes=2)
    second.it.fakes.broker.supports_delay = delays
    long = second.it.fakes.send()
    for _ in range(2):
        second.round()
        second.it.begin(second.worker)
    assert second.it.task_of(second.worker.current).id == long.id
    second.pass_time(30.0)
    exit = JobState.RELEASED if delays else JobState.LEFT
    assert transitions.seen[JobState.CLAIMED, exit] >= 1
