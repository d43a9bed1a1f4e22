"""What becomes of a task with two faults in its life: each fault at each step, every pair.

The task comes through the outbox, fails, is sent again as a new package, and succeeds. Relay,
lookup at the claim, recorder and tables are the real ones. Each process does one thing after
the other, and dies, stands still or is not heard where a fault says so.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from support.ledger_desk import Counter, Desk

from qcore.brokers.memory import MemoryBroker
from qcore.clock import Clock
from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.retries import Decision
from qcore.envelope import Attempt, Outcome
from qcore.ledger import relay as relay_module
from qcore.ledger.outbox import Outbox
from qcore.ledger.relay import Relay
from qcore.ledger.settlement import Ledger
from qcore.models import OutboxRow, Ticket
from qcore.results.orm import OrmStore
from qcore.runtime import current

#: Seconds of a wait that is longer than the lease, and after which no claim holds any more.
LATER, TERM = 600.0, 700.0

#: Who does what, in the order of a life, and the call by which it is done.
STEPS = {
    "relay claims": (Outbox, "claim"),
    "relay sends": (MemoryBroker, "enqueue_with_priority"),
    "relay deletes": (Outbox, "delete"),
    "cluster claims": (MemoryBroker, "dequeue"),
    "recorder settles": (Ledger, "settle"),
    "recorder acknowledges": (MemoryBroker, "acknowledge_many"),
}
#: Each step is done for the first package of the task, and for the second.
PLACES = [(step, time) for time in (1, 2) for step in STEPS]
#: What happens at a step to the process that does it.
FAULTS = (
    "killed before",
    "killed after",
    "not heard",  # the answer is lost, so the step is done once more
    "stopped",  # after the step, for longer than a lease; others go on meanwhile
)
#: Rounds in which a life must have ended, whatever has happened.
ROUNDS = 8


class Killed(BaseException):
    """The process has died."""


class Life:
    """A task, and the processes that have to do with it.

    Args:
        name: of the queue.
        faults: what happens, by its place: the step, and which time it is done.
    """

    def __init__(self, name, faults):
        self.name, self.faults = name, dict(faults)
        self.times = dict.fromkeys(STEPS, 0)
        self.runs = {0: 0, 1: 0}  # by the gen of the package
        self.depth = 0
        fakes = self.desk().fakes
        task = fakes.task(relayed=True)
        self.id, self.broker = task.id, fakes.broker
        current.outbox.write([(name, task.id, fakes.signer.sign(task), 0)])

    def desk(self):
        """Return a recorder that has just been started."""
        # a task that is delivered so often without a result would have to run alone
        return Desk(self.name, store=OrmStore, name=self.name, max_crashes=50)

    # -- faults ------------------------------------------------------------------------
    def step(self, name, call):
        """Do a step, with its fault where it has one."""
        self.times[name] += 1
        fault = self.faults.pop((name, self.times[name]), None)
        if fault == "killed before":
            raise Killed
        done = call()
        if fault == "killed after":
            raise Killed
        if fault == "not heard":
            done = self.once_more(name, call, done)
        if fault == "stopped":
            Clock.offset += TERM
            if name != "recorder settles":  # others wait for its transaction
                self.round()
        return done

    def once_more(self, name, call, done):
        if name == "relay claims":
            return done  # a claim that nobody has heard of ends by itself
        if name == "cluster claims":
            Clock.offset += TERM  # and then somebody else gets it, too
            return [*done, *call()]
        call()
        return done

    # -- processes -----------------------------------------------------------------------
    def round(self):
        """Let a relay and a cluster do what there is to do; each may be killed."""
        for process in (self.relay, self.cluster):
            try:
                process()
            except Killed:
                continue

    def relay(self):
        Relay(self.desk().fakes.conf)._send_batch()

    def cluster(self):
        desk = self.desk()
        for delivery in desk.fakes.broker.dequeue(10):
            job = Job(desk.fakes.signer.verify(delivery.package), delivery)
            desk.fakes.shared.held.add(job)
            counter = Counter(desk)
            ready = counter.sort([job])
            for one in ready:
                self.run(desk, one)
            for one, end in counter.receiver.finished:
                one.ended = end
                desk.recorder.finish(one)
                desk.turn()
            for one in counter.receiver.dropped:
                one.decision = Decision.SUPERSEDED
                desk.recorder.finish(one)
                desk.turn()

    def run(self, desk, job):
        """Run an attempt: the first package fails, the second succeeds."""
        self.runs[job.task.gen] += 1
        job.move(JobState.READY)
        job.move(JobState.RUNNING)
        job.ended = Attempt(Outcome.SUCCESS, b"7", "json", 1.0, 2.0)
        if not job.task.gen:
            job.ended = Attempt.failed(Outcome.FAILURE, "E: no", 1.0, 2.0, again=LATER)
        desk.record(job)

    # -- what must be true ---------------------------------------------------------------
    def acknowledging(self):
        """Nothing is acknowledged before its result and rows are committed (invariant 1)."""
        ticket = Ticket.objects.get(task_id=self.id)
        if ticket.final is None:
            assert ticket.gen == 1
            waits = OutboxRow.objects.filter(task_id=self.id).exists()
            assert waits or self.broker._q.packages, "its next package is nowhere"

    def judge(self):
        ticket = Ticket.objects.get(task_id=self.id)
        assert (ticket.gen, ticket.final) == (1, "success")
        found = OrmStore(current.conf).fetch(self.id)
        assert (found.success, found.result) == (True, 7)
        assert not OutboxRow.objects.exists()
        assert not self.broker._q.packages
        assert min(self.runs.values()) >= 1


@pytest.fixture
def live(transactional_db, monkeypatch):
    """Return a function that lets a task live with some faults."""
    lives = []
    for step, (owner, name) in STEPS.items():
        real = getattr(owner, name)

        def watched(self, *args, step=step, real=real, **options):
            life = lives[-1]
            if step == "recorder acknowledges":
                life.acknowledging()
            return life.step(step, lambda: real(self, *args, **options))

        monkeypatch.setattr(owner, name, watched)
    there = SimpleNamespace(
        broker=lambda queue: lives[-1].broker, registry=current.registry
    )
    monkeypatch.setattr(relay_module, "current", there)

    def run(faults):
        Clock.offset = 0.0
        MemoryBroker._queues.clear()
        life = Life(f"life {len(lives)}", faults)
        lives.append(life)
        for _ in range(ROUNDS):
            life.round()
            Clock.offset += TERM
        return life

    yield run
    Clock.offset = 0.0
    MemoryBroker._queues.clear()


def test_a_life_without_a_fault_has_each_step_twice(live):
    life = live({})
    life.judge()
    assert life.runs == {0: 1, 1: 1}
    done = {step: count for step, count in life.times.items() if step in STEPS}
    assert all(count >= 2 for count in done.values())


def pairs():
    """Return each fault alone, and each two faults at two steps."""
    ones = list(itertools.product(PLACES, FAULTS))
    return [
        dict(some)
        for count in (1, 2)
        for some in itertools.combinations(ones, count)
        if len(dict(some)) == count
    ]


@pytest.mark.parametrize("first", PLACES, ids=lambda place: f"{place[0]} {place[1]}")
def test_any_two_faults_lose_nothing_and_end_a_task_once(live, first):
    """Each fault at this step, alone and with each fault at each later step."""
    missed, wanted = 0, [faults for faults in pairs() if next(iter(faults)) == first]
    for faults in wanted:
        try:
            life = live(faults)
            life.judge()
        except Exception as error:
            raise AssertionError(f"with {faults}") from error
        # after an early fault, one batch may have what two have had otherwise
        missed += bool(life.faults)
        assert not life.faults or len(faults) == 2, f"{faults} did not happen"
    assert missed <= len(wanted) / 10
