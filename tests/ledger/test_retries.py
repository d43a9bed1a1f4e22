"""Tasks that come again: by their lease, by a release, or as a new package."""

from __future__ import annotations

import pytest
from chores.ledger import wait_for  # noqa: F401
from support.ledger_desk import Desk, rows, tickets

from qcore.brokers.memory import MemoryBroker
from qcore.engine.dispatcher.job import KillReason, LedgerPart
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.envelope import Attempt, Options, Outcome
from qcore.ledger.relay import Relay
from qcore.models import OutboxRow
from qcore.results.orm import OrmStore
from qcore.settled import TicketState
from qcore.signing import peek

F = Outcome.FAILURE


@pytest.fixture
def desk(request, transactional_db):
    return Desk(request.node.name, store=OrmStore)


def fail(desk, again=None, *, outcome=F, how="", runs=0, **fields):
    job = desk.fakes.running(**fields)
    job.ended = Attempt.failed(outcome, "E: no", 1.0, 2.0, again=again, how=how)
    if runs or job.task.gen:
        job.ledger = LedgerPart(TicketState(gen=job.task.gen, runs=runs))
    desk.record(job)
    return job


def test_a_wait_within_the_lease_is_a_release(desk):
    job = fail(desk, 5.0)
    assert job.state is JobState.RELEASED
    assert (tickets(), rows()) == ({}, [])
    assert (desk.fakes.waiting, desk.fakes.claimed) == (1, 0)
    assert MemoryBroker.dequeue(desk.fakes.broker, 1) == []  # not yet
    assert desk.found(job).attempt_count == 1


def test_no_wait_at_all(desk):
    job = fail(desk, 0.0)
    (delivery,) = MemoryBroker.dequeue(desk.fakes.broker, 1)
    assert (job.state, delivery.attempt) == (JobState.RELEASED, 2)


def test_without_a_policy_the_lease_is_the_wait(desk):
    job = fail(desk)
    assert (job.state, desk.fakes.claimed) == (JobState.LEFT, 1)


def test_a_longer_wait_is_a_new_package(desk):
    job = fail(desk, 600.0, hook=None)
    assert (job.state, desk.fakes.claimed) == (JobState.SETTLED, 0)
    assert tickets() == {job.task.id: (1, None)}
    (row,) = rows()
    following = peek(bytes(row.package))
    assert (row.task_id, row.gen, row.held_by) == (job.task.id, 1, None)
    assert (following.id, following.gen, following.relayed) == (job.task.id, 1, True)
    assert following.body == job.task.body
    assert not desk.found(job).success


def test_attempts_go_on_counting_and_a_lost_ticket_is_made_anew(desk):
    fail(desk, 600.0, gen=2, relayed=True, runs=4, options=Options(max_attempts=6))
    (row,) = rows()
    assert row.gen == 3
    job = fail(
        desk, 600.0, gen=3, relayed=True, runs=5, options=Options(max_attempts=6)
    )
    assert (job.state, len(rows())) == (JobState.SETTLED, 1)
    assert desk.found(job).attempt_count == 6


def test_a_snooze_is_not_stored_and_does_not_count(desk):
    from qcore.models import Ticket

    job = fail(desk, 1.0, outcome=Outcome.SNOOZED, options=Options(max_attempts=1))
    assert (job.state, desk.found(job)) == (JobState.SETTLED, None)
    assert tickets() == {job.task.id: (1, None)}
    assert Ticket.objects.get().runs == 0
    shared = desk.fakes.shared
    assert (shared.succeeded, shared.failed, len(rows())) == (0, 0, 1)


def test_a_snooze_calls_no_hook(desk):
    job = fail(desk, 1.0, outcome=Outcome.SNOOZED, hook="shop.done")
    assert (desk.fakes.ready.jobs, job.state) == ([], JobState.SETTLED)


def test_a_discarded_task_has_ended(desk):
    job = fail(desk, outcome=Outcome.DISCARDED)
    assert (job.state, desk.fakes.claimed) == (JobState.SETTLED, 0)
    assert desk.found(job).outcome == "discarded"


@pytest.mark.parametrize("how", ["", "retry"])
def test_an_explicit_retry_is_stronger_than_ack_failure(desk, how):
    job = fail(desk, 5.0, how=how, options=Options(ack_failure=True))
    assert job.state is (JobState.RELEASED if how else JobState.SETTLED)


def test_an_error_that_is_no_reason_for_a_retry_ends_the_task(desk):
    job = fail(desk, how="dead")
    assert (job.state, desk.fakes.claimed) == (JobState.SETTLED, 0)


def test_a_timeout_that_killed_its_worker_waits_by_numbers(desk):
    job = desk.fakes.running(options=Options(backoff=5.0))
    job.killed = KillReason.TIMEOUT
    job.ended_by_death("SIGKILL")
    desk.record(job)
    assert (job.state, job.again) == (JobState.RELEASED, 5.0)
    other = desk.fakes.running(options=Options(backoff="a.policy"))
    other.killed = KillReason.TIMEOUT
    other.ended_by_death("SIGKILL")
    desk.record(other)
    assert other.state is JobState.LEFT  # only a worker could ask the function


@pytest.mark.parametrize("can", ["can delay", "cannot delay"])
def test_without_a_ledger(desk, monkeypatch, can, caplog):
    monkeypatch.setattr(type(desk.ledger), "is_ready", False)
    if can == "cannot delay":
        monkeypatch.setattr(MemoryBroker, "supports_delay", False)
    job = fail(desk, 600.0)
    if can == "can delay":
        assert job.state is JobState.RELEASED
    else:
        assert job.state is JobState.LEFT
        assert "python manage.py migrate" in caplog.text


def test_a_broker_that_cannot_release_has_new_packages_for_short_waits(
    desk, monkeypatch
):
    monkeypatch.setattr(MemoryBroker, "supports_release", False)
    job = fail(desk, 1.0)
    assert (job.state, len(rows())) == (JobState.SETTLED, 1)


@pytest.mark.fault("L5")
def test_a_batch_that_fails_half_way_loses_and_doubles_nothing(desk, monkeypatch):
    """The result, the new package and the ticket stand together."""
    real = type(desk.ledger).settle

    def settle(self, settlements, token):
        done = real(self, settlements, token)
        if not failed:
            failed.append(True)
            raise OSError("pulled out")
        return done

    failed: list[bool] = []
    monkeypatch.setattr(type(desk.ledger), "settle", settle)
    job = desk.fakes.running()
    job.ended = Attempt.failed(F, "E: no", 1.0, 2.0, again=600.0)
    desk.recorder.record(job)
    desk.turn()
    while job.state is JobState.ENDED:
        desk.turn()
    assert tickets() == {job.task.id: (1, None)}
    assert [row.gen for row in rows()] == [1]


def test_the_relay_sends_the_new_package(desk, outside_for_relay):
    job = fail(desk, 600.0)
    OutboxRow.objects.update(due=0.0, queue=outside_for_relay.queue)
    from qcore.runtime import current

    Relay(current.conf).tick()
    (delivery,) = outside_for_relay.dequeue(1)
    assert peek(delivery.package).gen == 1
    assert peek(delivery.package).id == job.task.id


@pytest.fixture
def outside_for_relay(outside):
    return outside


def test_a_task_that_is_sent_again_waits_for_tables_that_went_away(desk, monkeypatch):
    """Its new package is kept by the ledger only: acknowledged without it, it is lost."""
    real = desk.recorder._settling.handle.ledger
    answers = [desk.ledger]  # for the decision; then the tables are missing
    monkeypatch.setattr(
        desk.recorder._settling.handle,
        "ledger",
        lambda: answers.pop() if answers else None,
    )
    job = fail(desk, 600.0)
    assert (job.state, desk.fakes.claimed, rows()) == (JobState.ENDED, 1, [])
    monkeypatch.setattr(desk.recorder._settling.handle, "ledger", real)
    while job.state is JobState.ENDED:
        desk.turn()
    assert (job.state, desk.fakes.claimed) == (JobState.SETTLED, 0)
    assert [row.gen for row in rows()] == [1]


def test_a_plain_failure_asks_no_ledger(desk, monkeypatch):
    """It may be away, and a connection may take long to fail."""

    def ask():
        raise AssertionError("the ledger was asked")

    monkeypatch.setattr(desk.recorder._settling.handle, "ledger", ask)
    assert fail(desk).state is JobState.LEFT
    assert fail(desk, 5.0).state is JobState.RELEASED
