"""What follows an ``async_iter`` is sent once, whatever happens to its last call."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections
from django.test import override_settings
from support.ledger_desk import Desk

from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.envelope import Delivery, Options, new_id
from qcore.errors import LedgerBusy, LedgerError, StoreError
from qcore.models import OutboxRow
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.settled import ITERS, Follower
from qcore.tasks.calls import follow_on_id


@pytest.fixture(params=["default", "elsewhere"])
def place(request, elsewhere):
    """The database of the ledger; results are in the default one."""
    with override_settings(Q_CLUSTER={"name": "tests", "ledger": request.param}):
        yield request.param


@pytest.fixture
def desk(place):
    # few results are kept: a list that is joined early would be gone after an outage
    return Desk("completions", store=OrmStore, save_limit=2)


@pytest.fixture
def group(place):
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
    (row,) = OutboxRow.objects.using(current.ledger.database)
    return row.due is not None and row.held_by is None


@pytest.mark.fault("G24")
def test_the_last_call_has_it_sent_before_it_is_acknowledged(desk, group):
    first, last = (call(desk, group, index) for index in range(2))
    desk.record(first)
    assert not is_due()
    desk.fakes.failures["acknowledge"] = [RuntimeError("killed")]
    desk.record(last)
    assert is_due()


@pytest.fixture
def broken(desk, monkeypatch):
    """A function that breaks the ledger off where it is told of the joined list."""
    real = desk.ledger.complete

    def break_off(error):
        def refuse(iter_id):
            raise error

        monkeypatch.setattr(desk.ledger, "complete", real if error is None else refuse)

    return break_off


def again(desk, job):
    """Deliver a job once more; return it as the pusher and the recorder have it then."""
    found = desk.fakes.store.finished([job.task.id])
    came = Job(job.task, Delivery(job.receipt, job.delivery.package, 2, 1e9))
    desk.fakes.shared.held.add(came)
    came.ended = job.ended
    if found:
        desk.recorder.finish(came)
        desk.turn()
    else:
        desk.record(came)  # it has run again
    return bool(found), came


def pass_by(desk, count=6):
    """Have other tasks end, so that the limit of results is reached."""
    for _ in range(count):
        desk.record(desk.fakes.ended())
    desk.fakes.store.tidy()


@pytest.mark.fault("G24")
@pytest.mark.parametrize("error", [LedgerError("no rights"), LedgerBusy("a deadlock")])
def test_while_the_ledger_is_away_the_last_call_waits_and_does_not_run_again(
    desk, group, broken, error
):
    first, last = (call(desk, group, index) for index in range(2))
    desk.record(first)
    broken(error)
    desk.record(last)
    assert last.state is JobState.STORED
    assert not is_due()
    pass_by(desk)  # an outage is long
    broken(None)
    desk.recorder._postponed.hasten()
    desk.turn()
    assert is_due()
    assert last.state is JobState.SETTLED


@pytest.mark.fault("G24")
@pytest.mark.parametrize("place", ["default"], indirect=True)
def test_a_stop_in_that_time_has_the_last_call_recognised(desk, group, broken):
    job = call(desk, group, 0, count=1)
    desk.fakes.shared.stopping.set()
    broken(LedgerError("away"))
    desk.record(job)
    assert job.state is JobState.LEFT
    assert desk.fakes.store.fetch(group) is None, "it is joined when that can be told"
    broken(None)
    recognised, came = again(desk, job)
    assert recognised
    assert is_due() and came.state is JobState.SETTLED
    assert desk.fakes.store.fetch(group).success


@pytest.mark.fault("G24")
@pytest.mark.parametrize("place", ["elsewhere"], indirect=True)
def test_a_kill_between_list_and_ledger_of_two_databases(desk, group, broken):
    job = call(desk, group, 0, count=1)
    broken(KeyboardInterrupt("killed"))
    with pytest.raises(KeyboardInterrupt):
        desk.record(job)
    assert desk.fakes.store.fetch(group).success, "it is joined"
    assert not is_due()
    broken(None)
    other = Desk("completions", store=OrmStore, save_limit=2)
    pass_by(other)
    recognised, came = again(other, job)
    assert not recognised, "it runs again, as any task may"
    assert is_due() and came.state is JobState.SETTLED


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="one connection, in memory, for a test"
)
@pytest.mark.parametrize("place", ["default"], indirect=True)
def test_two_clusters_that_end_the_last_calls_at_once(place):
    """Whoever joins the list makes the row due; nobody waits for the other for ever."""
    ids = [new_id() for _ in range(20)]
    rows = [
        Follower("q", follow_on_id(id), b"package", 0, None, held_by=ITERS)
        for id in ids
    ]
    current.outbox.write_followers(rows, "token")
    both, errors = threading.Barrier(2), []

    def end(index):
        try:
            desk = Desk("completions", store=OrmStore)
            jobs = [call(desk, id, index) for id in ids]
            for job in jobs:
                both.wait(60)
                desk.record(job)
                while len(desk.recorder._postponed):
                    desk.recorder._postponed.hasten()
                    desk.turn()
            assert {job.state for job in jobs} == {JobState.SETTLED}
        except BaseException as error:  # noqa: BLE001 - told below
            both.abort()
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=end, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    waiting = OutboxRow.objects.filter(due=None) | OutboxRow.objects.exclude(
        held_by=None
    )
    assert not waiting.exists()
    store = OrmStore(current.conf)
    assert {store.fetch(id).success for id in ids} == {True}


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
