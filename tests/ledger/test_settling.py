"""The recorder and the ledger: a result, its ticket and what follows stand together."""

from __future__ import annotations

import msgspec
import pytest
from support.ledger_desk import Counter, Desk, rows, tickets
from support.transitions import watch_transitions

from qcore.brokers.memory import MemoryBroker
from qcore.engine.dispatcher import deliveries, postponed, settling
from qcore.engine.dispatcher.job import Job, LedgerPart
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.outages import Outage
from qcore.engine.wire.messages import HOOK, unpack_order
from qcore.envelope import Options, Outcome, new_id
from qcore.errors import (
    BrokerError,
    BrokerUnavailable,
    LedgerBusy,
    StoreBusy,
    StoreUnavailable,
)
from qcore.models import Ticket
from qcore.results.orm import OrmStore
from qcore.settled import TicketState
from qcore.tasks.calls import follow_on_id

F = Outcome.FAILURE


@pytest.fixture(autouse=True)
def transitions(monkeypatch):
    watched = watch_transitions(monkeypatch)
    yield
    assert watched.wrong == []


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Try again at once."""
    for module in (deliveries, postponed):
        monkeypatch.setattr(
            module, "Outage", lambda *a, **k: Outage(*a, **(k | {"first": 0.0}))
        )


@pytest.fixture(params=["memory", "orm"])
def desk(request, transactional_db):
    store = OrmStore if request.param == "orm" else None
    return Desk(request.node.name, store=store)


# -- the end of a task --------------------------------------------------------------------
@pytest.mark.fault("L2")
def test_the_end_of_a_relayed_task_is_final(desk):
    done, failed = (
        desk.fakes.ended(relayed=True),
        desk.fakes.ended(F, b"E: no", relayed=True),
    )
    plain = desk.fakes.ended()
    desk.record(done, failed, plain)
    assert tickets() == {
        done.task.id: (0, "success"), failed.task.id: (0, None),  # it runs again
    }  # fmt: skip
    assert desk.found(done).success
    assert not desk.found(failed).success
    assert (done.state, plain.state) == (JobState.SETTLED, JobState.SETTLED)
    assert failed.state is JobState.LEFT
    assert desk.fakes.claimed == 1
    assert (desk.fakes.shared.succeeded, desk.fakes.shared.failed) == (2, 1)


@pytest.mark.fault("L2")
def test_what_ends_after_the_end_changes_nothing(desk):
    job = desk.fakes.ended(F, b"E: late", relayed=True)
    Ticket.objects.create(task_id=job.task.id, final="success", ended=1.0)
    desk.record(job)
    assert job.state is JobState.SETTLED
    assert desk.found(job) is None
    assert tickets() == {job.task.id: (0, "success")}
    assert (desk.fakes.shared.succeeded, desk.fakes.shared.failed) == (0, 0)
    assert desk.fakes.claimed == 0


@pytest.mark.fault("L1")
def test_a_failure_of_a_package_that_was_sent_again_is_dropped(desk):
    job = desk.fakes.ended(F, b"E: late", relayed=True, gen=1)
    Ticket.objects.create(task_id=job.task.id, gen=2, runs=4)
    desk.record(job)
    assert (job.state, desk.found(job)) == (JobState.SETTLED, None)
    assert tickets() == {job.task.id: (2, None)}


def test_attempts_of_earlier_packages_count(desk):
    job = desk.fakes.ended(F, b"E: no", relayed=True, gen=1)
    job.ledger = LedgerPart(TicketState(gen=1, runs=4))
    Ticket.objects.create(task_id=job.task.id, gen=1, runs=4)
    desk.record(job)
    assert desk.found(job).attempt_count == 5


@pytest.mark.fault("L12")
def test_the_same_commit_twice_is_one_end(desk):
    """As where the answer to the commit was lost."""
    first = desk.fakes.ended(relayed=True, hook="shop.done")
    Ticket.objects.create(task_id=first.task.id, final="success", ended=1.0)
    desk.record(first)
    assert desk.fakes.ready.jobs == [first]  # its hook is called all the same
    assert desk.found(first).success


def test_a_ticket_goes_with_the_acknowledgement_where_there_was_one_package(desk):
    job = desk.fakes.ended(needs=("limits",))
    desk.record(job)
    assert (job.state, tickets()) == (JobState.SETTLED, {})


# -- chains -------------------------------------------------------------------------------
def link(desk, **fields):
    job = desk.fakes.ended(links=1, **fields)
    job.next_package = b"next"
    return job


@pytest.mark.fault("L4")
def test_a_next_link_is_sent_and_its_row_deleted(desk):
    job = link(desk)
    desk.record(job)
    assert (job.state, rows(), tickets()) == (JobState.SETTLED, [], {})
    assert desk.fakes.waiting == 1


@pytest.mark.fault("L4")
def test_a_next_link_that_cannot_be_sent_is_left_to_the_relay(desk):
    """Found 9: and the delivery of its predecessor is done with all the same."""
    job = link(desk)
    desk.fakes.failures["enqueue"] = [BrokerError("no")]
    desk.record(job)
    (row,) = rows()
    assert (row.task_id, bytes(row.package)) == (follow_on_id(job.task.id), b"next")
    assert row.held_by is None
    assert (job.state, desk.fakes.claimed) == (JobState.SETTLED, 0)


@pytest.mark.fault("L4")
def test_a_next_link_is_written_before_its_hook_runs(desk):
    """A hook that kills its cluster does not end the chain."""
    job = link(desk, hook="shop.done")
    desk.record(job)
    assert desk.fakes.ready.jobs == [job]
    assert [row.task_id for row in rows()] == [follow_on_id(job.task.id)]
    assert desk.fakes.waiting == 0  # the next link runs after the hook
    desk.recorder.finish(_running(job))
    desk.turn()
    assert (job.state, rows(), desk.fakes.waiting) == (JobState.SETTLED, [], 1)


@pytest.mark.fault("L4")
def test_a_next_link_is_not_sent_by_two_after_an_outage(desk):
    """The relay sends it as soon as the broker is back; its writer does not wait for that."""
    job = link(desk)
    desk.fakes.failures["enqueue"] = [BrokerUnavailable("away")]
    desk.record(job)
    (row,) = rows()
    assert (row.task_id, row.held_by) == (follow_on_id(job.task.id), None)
    assert (job.state, desk.fakes.waiting) == (JobState.SETTLED, 0)


@pytest.mark.parametrize("outbox", [None, False])
@pytest.mark.parametrize("error", [BrokerError, BrokerUnavailable])
def test_links_that_a_failed_call_has_sent_are_not_sent_again(
    transactional_db, monkeypatch, outbox, error
):
    desk = Desk(f"in part {outbox} {error.__name__}", outbox=outbox)
    enqueue = desk.fakes.broker.enqueue_many
    failures = [1]

    def in_part(packages, **options):
        if not failures:
            return enqueue(packages, **options)
        failed = error("the second one does not go now")
        failed.stored = failures.pop()
        enqueue(packages[: failed.stored], **options)
        raise failed

    monkeypatch.setattr(desk.fakes.broker, "enqueue_many", in_part)
    jobs = [link(desk) for _ in range(3)]
    desk.record(*jobs)
    assert {job.state for job in jobs} == {JobState.SETTLED}
    assert desk.fakes.waiting + len(rows()) == 3
    assert len(rows()) == (2 if outbox is None else 0)


def test_after_a_long_hook_the_relay_sends_the_next_link(desk, monkeypatch):
    job = link(desk, hook="shop.done")
    desk.record(job)
    monkeypatch.setattr(settling, "BEGIN_WITHIN", -1)
    desk.recorder.finish(_running(job))
    desk.turn()
    assert (job.state, len(rows()), desk.fakes.waiting) == (JobState.SETTLED, 1, 0)


def test_without_an_outbox_the_next_link_is_sent_as_before(transactional_db):
    desk = Desk("no outbox", outbox=False)
    job = link(desk)
    desk.record(job)
    assert (job.state, rows(), desk.fakes.waiting) == (JobState.SETTLED, [], 1)


def _running(job):
    job.move(JobState.RUNNING)
    return job


# -- a broker in the same database ----------------------------------------------------------
@pytest.fixture
def joined(desk, monkeypatch):
    monkeypatch.setattr(MemoryBroker, "database", "default")
    return desk


def test_all_of_it_is_one_transaction_where_the_broker_is_that_database(joined):
    job, plain = link(joined, relayed=True), joined.fakes.ended()
    joined.record(job, plain)
    assert (job.state, rows(), joined.fakes.waiting) == (JobState.SETTLED, [], 1)
    assert tickets() == {job.task.id: (0, "success")}


@pytest.mark.fault("L4")
@pytest.mark.parametrize("kills", [0, 1])
def test_a_link_that_was_sent_is_not_made_again_for_the_hook(joined, kills):
    """Found as a copy that waited for its lease, and called the hook once more."""
    job = link(joined, hook="shop.done")
    joined.record(job)
    assert joined.fakes.waiting == 1, "it was sent in the transaction"
    job.follow_up_crashes = kills
    assert unpack_order(job.order()).kind == HOOK
    assert not job.owes_link, "a hook that is given up leaves nothing to do"
    joined.recorder.finish(_running(job))
    joined.turn()
    assert (job.state, rows(), joined.fakes.waiting) == (JobState.SETTLED, [], 1)


def test_an_acknowledgement_that_is_refused_holds_up_nothing(joined):
    job = joined.fakes.ended(relayed=True)
    joined.fakes.failures["acknowledge"] = [BrokerError("no")]
    joined.record(job)
    assert (job.state, joined.fakes.claimed) == (JobState.SETTLED, 0)
    assert tickets() == {job.task.id: (0, "success")}


def test_a_broker_that_is_away_is_waited_for(joined):
    job = joined.fakes.ended(relayed=True)
    joined.fakes.failures["acknowledge"] = [BrokerUnavailable("away")]
    joined.record(job)
    assert (job.state, joined.fakes.claimed) == (JobState.SETTLED, 0)


# -- a ledger that does not take something ---------------------------------------------------
@pytest.mark.fault("L3")
def test_a_ledger_that_is_away_stops_only_what_needs_it(desk):
    plain, bound = desk.fakes.ended(), desk.fakes.ended(relayed=True)
    desk.ledger.is_away = True
    desk.record(plain, bound)
    assert plain.state is JobState.SETTLED
    assert bound.state is JobState.ENDED
    assert desk.fakes.claimed == 1
    assert desk.fakes.shared.problems
    desk.ledger.is_away = False
    desk.turn()
    assert (bound.state, desk.fakes.claimed) == (JobState.SETTLED, 0)
    assert not desk.fakes.shared.problems


@pytest.mark.fault("L3")
def test_one_that_the_ledger_refuses_waits_alone(desk):
    good = [desk.fakes.ended(relayed=True) for _ in range(5)]
    bad = desk.fakes.ended(relayed=True)
    desk.ledger.refused = {bad.task.id}
    desk.record(*good[:2], bad, *good[2:])
    assert {job.state for job in good} == {JobState.SETTLED}
    assert bad.state is JobState.ENDED
    assert any(bad.task.id in who for who in desk.fakes.shared.problems)
    assert tickets().keys() == {job.task.id for job in good}
    desk.ledger.refused.clear()
    desk.turn()
    assert bad.state is JobState.SETTLED
    assert not desk.fakes.shared.problems


@pytest.mark.fault("L3")
def test_ends_that_cannot_be_noted_are_an_error_of_the_ledger(desk, monkeypatch):
    """The store, which takes the results, is not doubted, and plain tasks go on."""
    tracker = FailingTracker([StoreUnavailable("away"), StoreBusy("locked")])
    msgspec.structs.force_setattr(desk.fakes.services, "make_tracker", lambda: tracker)
    plain = desk.fakes.ended()
    tracked = desk.fakes.ended(relayed=True, options=Options(track=True))
    desk.record(plain, tracked)
    assert (plain.state, tracked.state) == (JobState.SETTLED, JobState.ENDED)
    assert any(tracked.task.id in who for who in desk.fakes.shared.problems)
    desk.turn()
    assert tracked.state is JobState.SETTLED
    assert tracked.notes == 0, "the value of the result is not to blame"
    assert not desk.fakes.shared.problems


class FailingTracker:
    """Keeps no task, and fails first."""

    database = "default"

    def __init__(self, errors):
        self.errors = errors

    def end(self, results):
        if self.errors:
            raise self.errors.pop(0)

    def again(self, ids):
        raise AssertionError("no task was given back")


def test_whoever_loses_a_race_in_the_database_tries_again(desk):
    job = desk.fakes.ended(relayed=True)
    desk.ledger.errors = [LedgerBusy("deadlock")] * 2
    desk.record(job)
    assert job.state is JobState.SETTLED
    assert not desk.fakes.shared.problems


# -- the lookup at the claim ----------------------------------------------------------------
@pytest.fixture
def counter(desk):
    return Counter(desk)


def claim(desk, **fields) -> Job:
    return desk.fakes.claim(relayed=True, **fields)


def test_a_package_without_a_ticket_may_run(desk, counter):
    job = claim(desk)
    assert counter.sort([job]) == [job]
    assert (job.ledger, job.attempt) == (None, 1)


def test_a_valid_package_runs_with_the_attempts_of_its_ticket(desk, counter):
    job = claim(desk, gen=1)
    Ticket.objects.create(task_id=job.task.id, gen=1, runs=2)
    assert counter.sort([job]) == [job]
    assert job.attempt == 3


@pytest.mark.fault("L1")
def test_a_package_of_a_lower_gen_is_dropped(desk, counter):
    old, new = claim(desk), claim(desk, gen=1)
    Ticket.objects.create(task_id=old.task.id, gen=1)
    Ticket.objects.create(task_id=new.task.id, gen=1)
    assert counter.sort([old, new]) == [new]
    assert counter.receiver.dropped == [old]


@pytest.mark.fault("L2")
@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_task_that_has_ended_never_runs(desk, counter, outcome):
    """Whether its result is stored, or is not (any more)."""
    kept, lost = claim(desk), claim(desk)
    for job in (kept, lost):
        Ticket.objects.create(task_id=job.task.id, final=outcome, ended=1.0)
    ended = desk.fakes.ended(outcome, b"7" if outcome == "success" else b"E: no")
    desk.fakes.store.save([ended.ended.result(kept.task, 1)])
    assert counter.sort([kept, lost]) == []
    ends = {job.task.id: end for job, end in counter.receiver.finished}
    assert [end.outcome for end in ends.values()] == [outcome] * 2
    if outcome == "success":
        assert (ends[kept.task.id].value, ends[lost.task.id].value) == (b"7", b"null")
    else:
        assert ends[kept.task.id].text.startswith("E: no")
        assert "ended as failure" in ends[lost.task.id].text


@pytest.mark.fault("L3")
def test_while_the_ledger_is_away_plain_tasks_run_and_others_wait(desk, counter):
    plain, bound = desk.fakes.claim(), claim(desk)
    desk.ledger.is_away = True
    assert counter.sort([plain, bound]) == [plain]
    assert "ledger" in desk.fakes.shared.problems
    desk.ledger.is_away = False
    counter.sort.__self__._again_at = 0.0
    assert counter.sort([]) == [bound]
    assert "ledger" not in desk.fakes.shared.problems


def test_while_the_ledger_is_away_tasks_that_need_plugins_are_given_back(desk, counter):
    """Else they would fill what this cluster may hold, and no plain task were claimed."""
    plain = desk.fakes.claim()
    needing = [claim(desk, needs=("limits",)) for _ in range(3)]
    desk.ledger.is_away = True
    assert counter.sort([plain, *needing]) == [plain]
    counter.late.flush(desk.fakes.broker)
    assert {job.state for job in needing} == {JobState.RELEASED}
    assert len(counter.sort.__self__) == 0
    # until its pause is over, nobody asks: each question may wait for a connection
    desk.ledger.is_away = False
    late = claim(desk, needs=("limits",))
    assert counter.sort([late]) == []
    counter.sort.__self__._away_until = 0.0
    other = claim(desk, needs=("limits",))
    assert counter.sort([other]) == [other]
    assert "ledger" not in desk.fakes.shared.problems


def test_one_query_for_a_batch(desk, counter, django_assert_num_queries):
    jobs = [claim(desk) for _ in range(20)]
    desk.ledger.look_up([new_id()])
    with django_assert_num_queries(1 if desk.fakes.store.database is None else 2):
        assert counter.sort(jobs) == jobs


def test_a_dropped_delivery_is_acknowledged(desk):
    from qcore.engine.dispatcher.retries import Decision

    job = claim(desk)
    job.decision = Decision.SUPERSEDED
    desk.recorder.finish(job)
    desk.turn()
    assert (job.state, desk.fakes.claimed) == (JobState.SETTLED, 0)
