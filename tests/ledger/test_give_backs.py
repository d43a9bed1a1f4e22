"""A site with clusters of release 2.0: what these give back uses up no attempt."""

from __future__ import annotations

import pytest
from support import reader_before
from support.ledger_desk import Counter, Desk, tickets
from support.reader_before import ReaderBefore

from qcore.brokers.memory import MemoryBroker
from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.retries import WORN
from qcore.envelope import Attempt, Options, Outcome
from qcore.models import OutboxRow, Ticket
from qcore.results.orm import OrmStore
from qcore.signing import peek

F = Outcome.FAILURE
LATER = 4102444800.0  # the year 2100

#: Each kind of task whose packages release 2.0 cannot read, and that needs no plugin.
KINDS = {
    "expires": {"expires": LATER},
    "sent again": {"gen": 1, "relayed": True},
    "passes its result": {"links": 1, "options": Options(pass_results=True)},
    "of an iter": {"iter_count": 2, "options": Options(completes=True)},
}


@pytest.fixture
def desk(request, transactional_db, monkeypatch):
    monkeypatch.setattr(reader_before, "DELAY", 0.0)
    return Desk(request.node.name, store=OrmStore, max_attempts=3)


@pytest.fixture
def before(desk):
    """A cluster of release 2.0, which claims from the same queue."""
    return ReaderBefore(desk.fakes.broker)


def claim(desk):
    """Claim as a cluster of today; return the job with what is known of it by then."""
    (delivery,) = MemoryBroker.dequeue(desk.fakes.broker, 1)
    job = Job(desk.fakes.signer.verify(delivery.package), delivery)
    desk.fakes.shared.held.add(job)
    if delivery.attempt > 1 or job.task.gen:
        assert Counter(desk).sort([job]) == [job]
    return job


def end(desk, job, outcome=F, again=None):
    job.move(JobState.READY)
    job.move(JobState.RUNNING)
    value = b"7" if outcome == Outcome.SUCCESS else b"E: no"
    content = "json" if outcome == Outcome.SUCCESS else "text"
    job.ended = Attempt(outcome, value, content, 1.0, 2.0, again=again)
    desk.record(job)
    return job


@pytest.mark.fault("J17")
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_cluster_of_2_0_gives_back_is_no_attempt(desk, before, kind):
    """Between two attempts it may claim a package as often as it likes."""
    task = desk.fakes.send(**KINDS[kind])
    for attempt in (1, 2):
        job = claim(desk)
        assert job.attempt == attempt
        assert end(desk, job, again=0.0).state is JobState.RELEASED
        for _ in range(4):
            assert before.claim() == []
    job = claim(desk)
    assert (job.delivery.attempt, job.attempt) == (11, 3)
    end(desk, job)
    assert job.state is JobState.SETTLED
    found = desk.found(job)
    assert (found.id, found.attempt_count) == (task.id, 3)
    assert not before.quarantined
    # a ticket of which no other package can be there goes with the acknowledgement
    assert tickets() == ({task.id: (1, "failure")} if task.gen else {})


@pytest.mark.fault("J17")
def test_give_backs_before_the_first_claim_cost_one_attempt_at_most(desk, before):
    """The first delivery may have killed a cluster of today: nothing tells."""
    desk.fakes.send(expires=LATER)
    for _ in range(9):
        before.claim()
    job = claim(desk)
    assert (job.delivery.attempt, job.attempt) == (10, 2)


@pytest.mark.fault("J17")
def test_a_task_that_kills_its_cluster_is_counted_without_an_end(desk, before):
    """Nobody records these ends, and still each claim counts."""
    desk.fakes.send(expires=LATER)
    for attempt in (1, 2):
        job = claim(desk)
        assert job.attempt == attempt
        MemoryBroker.release(desk.fakes.broker, [job.receipt])
        desk.fakes.shared.held.discard(job)
        before.claim()
    (delivery,) = MemoryBroker.dequeue(desk.fakes.broker, 1)
    suspect = Job(desk.fakes.signer.verify(delivery.package), delivery)
    assert Counter(desk).sort([suspect]) == []  # it is to run alone
    assert (delivery.attempt, suspect.attempt) == (5, 3)


@pytest.mark.fault("J17")
def test_a_suspect_is_told_by_the_claims_that_count(desk, before):
    """Else each task that was given back often would run alone."""
    desk.fakes.send(gen=1, relayed=True)
    Ticket.objects.create(task_id=(task := claimed_id(desk)), gen=1, runs=1)
    for _ in range(9):
        before.claim()
    job = claim(desk)  # `sort` has let it run
    assert (job.task.id, job.attempt) == (task, 3)


def claimed_id(desk):
    (delivery,) = MemoryBroker.dequeue(desk.fakes.broker, 1)
    MemoryBroker.release(desk.fakes.broker, [delivery.receipt])
    return peek(delivery.package).id


@pytest.mark.fault("J17")
def test_a_package_that_was_given_back_often_is_sent_anew(desk, before):
    """The broker counts from 1 again, before 2.0 takes it for a package of nobody."""
    desk.fakes.send(expires=LATER)
    for _ in range(WORN):
        before.claim()
    job = end(desk, claim(desk), again=0.0)
    assert (job.state, desk.fakes.waiting) == (JobState.SETTLED, 0)
    (row,) = OutboxRow.objects.all()
    Ticket.objects.get(task_id=job.task.id, gen=1, runs=2, starts=0)
    MemoryBroker.enqueue_many(desk.fakes.broker, [bytes(row.package)])
    again = claim(desk)
    assert (again.task.gen, again.delivery.attempt, again.attempt) == (1, 1, 3)


def test_a_plain_task_is_released_however_often_it_was_delivered(desk):
    desk.fakes.send(options=Options(max_attempts=0))
    for _ in range(WORN + 1):
        job = end(desk, claim(desk), again=0.0)
        assert job.state is JobState.RELEASED
    assert (tickets(), OutboxRow.objects.count()) == ({}, 0)


def test_a_job_that_waits_for_its_store_is_counted_once(desk, before):
    desk.fakes.send(expires=LATER)
    before.claim()
    (delivery,) = MemoryBroker.dequeue(desk.fakes.broker, 1)
    job = Job(desk.fakes.signer.verify(delivery.package), delivery)
    desk.fakes.shared.held.add(job)
    counter = Counter(desk)
    for _ in range(3):
        counter.sort.__self__._identity.sift([job])
    assert (job.attempt, Ticket.objects.get().starts) == (2, 2)


def test_while_the_ledger_is_away_the_broker_counts(desk, before):
    """A task that has no ticket does not wait for the ledger."""
    desk.fakes.send(expires=LATER)
    before.claim()
    desk.ledger.is_away = True
    assert claim(desk).attempt == 2


def test_an_end_that_was_stored_is_found_though_its_delivery_was_counted(desk, before):
    """The ticket of this claim does not outlive the acknowledgement."""
    task = desk.fakes.send(expires=LATER)
    before.claim()
    (delivery,) = MemoryBroker.dequeue(desk.fakes.broker, 1)
    job = Job(task, delivery)
    desk.fakes.shared.held.add(job)
    success = Attempt(Outcome.SUCCESS, b"7", "json", 1.0, 2.0)
    desk.fakes.store.save([success.result(task, 1)])
    counter = Counter(desk)
    assert counter.sort([job]) == []
    ((found, stored),) = counter.receiver.finished
    assert (found, stored.value) == (job, b"7")
