"""What follows an ``async_iter`` is sent once, whatever happens to its last call."""

from __future__ import annotations

import pytest
from support.ledger_desk import Desk, rows

from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.envelope import Delivery, Options, new_id
from qcore.errors import LedgerError, StoreError
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.settled import ITERS, Follower
from qcore.tasks.calls import follow_on_id


@pytest.fixture
def desk(request, transactional_db):
    return Desk(request.node.name, store=OrmStore)


@pytest.fixture
def group():
    """The id of an iter, of which a task that follows waits in the outbox."""
    id = new_id()
    row = Follower("q", follow_on_id(id), b"package", 0, None, held_by=ITERS)
    current.outbox.write_followers([row], "token")
    return id


def call(desk, group, index, count=2, **fields):
    place = {"iter_index": index, "iter_count": count}
    options = Options(completes=True)
    return desk.fakes.ended(group=group, options=options, **place, **fields)


def is_due():
    (row,) = rows()
    return row.due is not None and row.held_by is None


@pytest.mark.fault("G24")
def test_the_last_call_has_it_sent_before_it_is_acknowledged(desk, group):
    first, last = (call(desk, group, index) for index in range(2))
    desk.record(first)
    assert not is_due()
    desk.fakes.failures["acknowledge"] = [RuntimeError("killed")]
    desk.record(last)
    assert is_due()


@pytest.mark.fault("G24")
def test_a_ledger_that_is_away_leaves_the_last_call_to_its_lease(
    desk, group, monkeypatch
):
    def away(iter_id):
        raise LedgerError("away")

    job = call(desk, group, 0, count=1)
    with monkeypatch.context() as patched:
        patched.setattr(desk.ledger, "complete", away)
        desk.record(job)
    assert desk.fakes.store.fetch(group).success, "it is joined"
    assert job.state is JobState.LEFT
    assert not is_due()
    again = Job(job.task, Delivery(job.receipt, job.delivery.package, 2, 1e9))
    desk.fakes.shared.held.add(again)
    again.ended = job.ended
    desk.recorder.finish(again)  # it is recognised
    desk.turn()
    assert is_due()
    assert again.state is JobState.SETTLED


def test_a_list_that_cannot_be_stored_is_an_end_too(desk, group, monkeypatch):
    def refuse(group, count):
        raise StoreError("packet too large")

    monkeypatch.setattr(desk.fakes.store, "collate", refuse)
    desk.record(call(desk, group, 0, count=1))
    assert not desk.fakes.store.fetch(group).success
    assert is_due()


def test_an_iter_that_nothing_follows_does_not_ask_the_ledger(desk, monkeypatch):
    monkeypatch.setattr(desk.ledger, "complete", None)
    group = new_id()
    job = desk.fakes.ended(group=group, iter_index=0, iter_count=1)
    desk.record(job)
    assert job.state is JobState.SETTLED
