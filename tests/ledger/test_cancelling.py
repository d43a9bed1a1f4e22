"""Cancelled tasks: what is asked, and what clusters see of it."""

from __future__ import annotations

import time

import pytest
from django.db import transaction

from qcore.envelope import Outcome, new_id
from qcore.errors import CallError, StoreError
from qcore.ledger.control import ControlWatch
from qcore.models import OutboxRow, Ticket
from qcore.runtime import current
from qcore.tasks import async_task, cancel, pause

pytestmark = pytest.mark.usefixtures("outside")


@pytest.fixture
def watch(outside):
    watch = ControlWatch(current.conf)
    yield watch
    watch.close()


def test_a_mark_is_seen_until_the_task_has_ended(watch):
    ids = [new_id() for _ in range(3)]
    assert watch.look() == (None, False)
    assert cancel(ids[0]) == {ids[0]: "waiting"}
    assert watch.look() == (None, True)
    assert watch.cancelled(ids).keys() == {ids[0]}
    Ticket.objects.update(final="cancelled", ended=1.0)
    assert watch.look() == (None, False)
    assert watch.cancelled(ids) == {}
    made = pause("tests")
    assert watch.look() == (made, False)


def test_to_look_is_one_statement(watch, django_assert_num_queries):
    pause("tests")
    cancel(new_id())
    watch.look()
    with django_assert_num_queries(1):
        watch.look()


def test_the_first_mark_stays():
    id = new_id()
    cancel(id)
    at = Ticket.objects.get().cancelled
    cancel([id, id])
    assert Ticket.objects.get().cancelled == at


def test_many_at_once(watch):
    ids = [new_id() for _ in range(400)]
    assert cancel(iter(ids)) == dict.fromkeys(ids, "waiting")
    assert watch.cancelled(ids).keys() == set(ids)
    assert cancel([]) == {}


def test_what_has_ended_is_not_marked(make_result):
    done, final = make_result(Outcome.SUCCESS), new_id()
    Ticket.objects.create(task_id=final, final="success", ended=1.0)
    assert cancel([done, final]) == {done: "ended", final: "ended"}
    assert not Ticket.objects.exclude(cancelled=None).exists()


@pytest.fixture
def make_result(outside):
    from qcore.envelope import Attempt
    from qcore.tasks.calls import build

    def make(outcome, stopped=2.0, *, final=True, **options):
        task = build("chores.kind.add", (1,), **options)
        content = "json" if outcome == Outcome.SUCCESS else "text"
        end = Attempt(outcome, b"1", content, 1.0, stopped)
        current.store().save([end.result(task, 1, final=final)])
        return task.id

    return make


def test_old_marks_of_what_has_ended_go(watch, make_result):
    """Each mark costs a lookup; who cancels what has ended must not cost it for ever."""
    done, cancelled, waits, old = (
        make_result(Outcome.SUCCESS), make_result(Outcome.CANCELLED), new_id(), new_id(),
    )  # fmt: skip
    for id in (done, cancelled, waits):
        Ticket.objects.create(task_id=id, cancelled=time.time() - 3600)
    Ticket.objects.create(task_id=old, cancelled=time.time() - 400 * 86_400)
    assert watch.look() == (None, True)
    assert list(Ticket.objects.values_list("task_id", flat=True)) == [waits]


def test_old_marks_of_failed_tasks_go(watch, make_result):
    """A failure may be tried again; one that was not for two weeks is over."""
    last = {"max_attempts": 1, "final": False}  # as release 2.0 has stored it
    discarded, dead, lately, long_ago, just_now, given_up = (
        make_result(Outcome.DISCARDED, time.time()),
        make_result(Outcome.FAILURE, time.time()),
        make_result(Outcome.FAILURE, time.time() - 2 * 86_400, final=False),
        make_result(Outcome.FAILURE, time.time() - 15 * 86_400, final=False),
        make_result(Outcome.FAILURE, time.time() - 3600, **last),
        make_result(Outcome.FAILURE, time.time() - 2 * 86_400, **last),
    )
    for id in (discarded, dead, lately, long_ago, just_now, given_up):
        Ticket.objects.create(task_id=id, cancelled=time.time() - 3000)
    assert watch.look() == (None, True)
    left = set(Ticket.objects.values_list("task_id", flat=True))
    assert left == {lately, just_now}


def test_results_that_are_away_keep_no_pause_waiting(watch, monkeypatch):
    Ticket.objects.create(task_id=new_id(), cancelled=time.time() - 3600)
    made = pause("tests")

    def away(*_):
        raise StoreError("the cache is away")

    monkeypatch.setattr(type(current.results), "finished", away)
    assert watch.look() == (made, True)


def test_what_is_scheduled_becomes_due():
    """The relay sends it, and its claim ends it."""
    later = async_task("chores.kind.add", 1, delay=86_400)
    parked = async_task("chores.kind.add", 2, delay=86_400)
    OutboxRow.objects.filter(task_id=parked).update(due=None, held_by="limits")
    asleep = async_task("chores.kind.add", 3, delay=86_400)
    OutboxRow.objects.filter(task_id=asleep).update(held_by="flows:suspended")
    assert cancel([later, parked, asleep]) == {
        later: "scheduled",
        parked: "parked",
        asleep: "suspended",
    }
    for id in (later, parked, asleep):
        due = OutboxRow.objects.get(task_id=id).due
        assert due <= Ticket.objects.get(task_id=id).cancelled + 60


def test_it_begins_with_the_commit(watch):
    id = new_id()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        cancel(id)
        1 / 0  # noqa: B018
    assert watch.look() == (None, False)


@pytest.mark.parametrize("wrong", ["add-1", "", 5, None, ["x"], [None], [[]], "F" * 32])
def test_what_is_no_id_is_refused(wrong):
    with pytest.raises(CallError, match="expected the id of a task"):
        cancel(wrong)
    assert not Ticket.objects.exists()


def test_a_ledger_that_is_away(monkeypatch):
    def away(*_):
        raise StoreError("away")

    monkeypatch.setattr(type(current.control), "cancel", away)
    with pytest.raises(StoreError):
        cancel(new_id())
