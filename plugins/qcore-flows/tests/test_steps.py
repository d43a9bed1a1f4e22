"""Durable steps: what is stored, what runs again, and what is refused."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from chores import durable

from qcore.errors import EnqueueError, TaskError
from qcore.models import OutboxRow, QueuePause
from qcore.tasks import async_task, cancel, fetch, status
from qcore.testing.drain import Counts
from qcore_flows import EventTimeout, StepError, emit, step, step_id
from qcore_flows.models import Event, Run, RunStep
from qcore_flows.steps.moments import due_at
from qcore_flows.steps.names import name_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ran")]


def run_of(task_id):
    return Run.objects.get(pk=task_id)


def test_a_task_sleeps_for_weeks_and_waits_for_an_event(clock, ran):
    id = durable.onboard.enqueue("ada")
    assert clock.advance(days=13) == Counts(suspended=1)
    assert ran == ["create"]
    assert status(id) == "suspended"
    assert (run_of(id).state, run_of(id).waits_for) == ("suspended", "two weeks")
    assert clock.advance(days=1) == Counts(suspended=1)
    assert ran == ["create", "remind"]
    assert run_of(id).waits_for == "reply"
    assert emit("reply:ada", "thanks") is True
    assert run_of(id).state == "waiting"
    assert clock.advance(seconds=1) == Counts(succeeded=1)
    assert ran == ["create", "remind", "close"]
    assert fetch(id).result == "user ada: thanks"
    assert run_of(id).state == "success"
    assert OutboxRow.objects.count() == 0


def test_an_event_that_does_not_come_is_a_stored_answer(clock, ran):
    id = durable.onboard.enqueue("bob")
    clock.advance(days=22)
    assert fetch(id).result == "user bob: none"
    assert emit("reply:bob", "late") is True


def test_an_event_that_does_not_come_raises_without_a_default(clock):
    id = durable.strict.enqueue("cy")
    clock.advance(seconds=59)
    assert fetch(id) is None
    clock.advance(seconds=2)
    assert fetch(id).result == "too late"
    assert issubclass(EventTimeout, TaskError)


def test_an_event_that_has_happened_is_not_waited_for(clock):
    emit("reply:dan", {"stars": 5})
    id = durable.strict.enqueue("dan")
    assert clock.advance(seconds=0) == Counts(succeeded=1)
    assert fetch(id).result == {"stars": 5}


def test_the_first_event_counts(clock):
    assert emit("paid:1", "a") is True
    assert emit("paid:1", "b") is False
    assert Event.objects.count() == 1


def test_events_differ_in_case(clock):
    assert emit("paid:a") and emit("paid:A")


@pytest.mark.fault("S1")
@pytest.mark.parametrize("when", ["before", "unsaved", "after"])
@pytest.mark.parametrize("number", range(3))
def test_a_task_goes_on_after_the_last_step_that_is_stored(clock, ran, when, number):
    id = durable.in_steps.enqueue(3)
    clock.interrupt_at(f"part[{number}]", when)
    assert clock.advance(seconds=0) == Counts(succeeded=1, interrupted=1)
    assert fetch(id).result == [0, 2, 4]
    twice = [number] if when == "unsaved" else []
    assert sorted(ran) == sorted([0, 1, 2, *twice])
    assert RunStep.objects.filter(run_id=id).count() == 3


@pytest.mark.fault("S1")
def test_a_task_that_is_killed_at_every_step_ends(clock, ran):
    id = durable.onboard.enqueue("eve")
    emit("reply:eve", "yes")
    for name in ("create", "two weeks", "remind", "reply", "close"):
        for when in ("before", "unsaved", "after"):
            clock.interrupt_at(name, when)
    counts = clock.advance(days=15)
    assert counts.succeeded == 1 and counts.interrupted >= 10
    assert fetch(id).result == "user eve: yes"
    assert ran == ["create", "create", "remind", "remind", "close", "close"]
    assert OutboxRow.objects.count() == 0


def test_attempts_count_from_the_last_new_step(clock, ran, monkeypatch):
    """Each step fails once, and the task may be tried twice."""
    failed = set()

    def once(what, value=None):
        if what not in failed:
            failed.add(what)
            raise ConnectionError(f"{what} is away")
        return ran.append(what) or value

    monkeypatch.setattr(durable, "ran", once)
    id = durable.in_steps.enqueue(4)
    counts = clock.advance(hours=1)
    assert counts.succeeded == 1 and counts.failed == 4
    assert ran == [0, 1, 2, 3]
    assert fetch(id).success


def test_a_task_that_does_not_get_further_is_given_up(clock, ran, monkeypatch):
    def never(what, value=None):
        ran.append(what)
        if what == 1:
            raise ConnectionError("away")
        return value

    monkeypatch.setattr(durable, "ran", never)
    id = durable.in_steps.enqueue(3)
    with pytest.raises(ConnectionError):
        clock.advance(hours=1)
    assert ran == [0, 1, 1], "the attempt that got further is the first of two"
    assert run_of(id).state == "failure"


def test_a_name_may_be_used_once(clock, ran):
    id = durable.twice_named.using(max_attempts=1).enqueue()
    with pytest.raises(StepError, match="'same' is used twice"):
        clock.advance(seconds=0)
    assert ran == [1]
    assert run_of(id).state == "failure"


def test_a_step_that_was_renamed_is_found(clock, ran):
    id = async_task(durable.renamed)
    Run.objects.create(task_id=id, func="x", version=1, state="waiting", created=0.0)
    from qcore_flows.steps.names import digest

    RunStep.objects.create(
        run_id=id, digest=digest("old"), name="old", kind="step", began=0.0, done=0.0,
        content="json", value=b"5",
    )  # fmt: skip
    clock.advance(seconds=0)
    assert fetch(id).result == 5
    assert ran == []


@pytest.mark.parametrize("task", [durable.swallowing, durable.swallowing_twice])
def test_a_suspension_that_is_swallowed_is_told(clock, ran, task):
    task.using(max_attempts=1).enqueue()
    with pytest.raises(StepError, match="'nap'"):
        clock.advance(seconds=0)
    assert ran == []


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (durable.unstorable, "the step 'socket' cannot be stored"),
        (durable.nested, "inside the step 'outer'"),
        (durable.in_transaction, "in a transaction of the database 'default'"),
        (durable.in_thread, "in the thread of its task"),
        (durable.in_loop, "in an event loop"),
    ],
)
def test_what_cannot_be_kept_is_refused(clock, ran, task, told):
    task.using(max_attempts=1).enqueue()
    with pytest.raises(StepError, match=told):
        clock.advance(seconds=0)
    assert ran == []
    assert RunStep.objects.count() == 0


def test_a_value_has_the_size_of_a_result_at_most(clock, settings):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"max_result": 1000}
    durable.large.using(max_attempts=1).enqueue()
    with pytest.raises(StepError, match=r"over max_result \(1,000\)"):
        clock.advance(seconds=0)


def test_a_run_stores_so_many_steps_and_no_more(clock, ran, monkeypatch):
    monkeypatch.setattr("qcore_flows.steps.run.MOST_STEPS", 3)
    durable.in_steps.using(max_attempts=1).enqueue(4)
    with pytest.raises(StepError, match="has stored 3 steps"):
        clock.advance(seconds=0)
    assert ran == [0, 1, 2]


def test_a_run_begins_so_often_and_no_more(clock, ran, monkeypatch):
    monkeypatch.setattr("qcore_flows.steps.opening.MAX_RUNS", 1)
    id = durable.onboard.enqueue("fay")
    with pytest.raises(TaskError, match="started 1 times"):
        clock.advance(days=15)
    assert ran == ["create"]
    assert fetch(id).outcome == "discarded"


def test_a_coroutine_is_refused_where_it_is_sent(clock):
    with pytest.raises(EnqueueError, match="async def"):
        durable.coroutine.enqueue()


@pytest.mark.parametrize(
    "wrong",
    [
        {"durable": "yes"},
        {"version": 0, "durable": True},
        {"accepts": "12"},
        {"version": 2},
    ],
    ids=str,
)
def test_wrong_options_are_refused_where_they_are_given(clock, wrong):
    with pytest.raises(EnqueueError):
        async_task("math.sqrt", 4, q_options=wrong)


def test_outside_of_a_durable_task_nothing_is_kept():
    for call in (lambda: step("a", len, ""), step_id):
        with pytest.raises(StepError, match="outside of"):
            call()


def test_the_id_of_a_step_is_the_same_each_time(clock):
    id = durable.identified.enqueue()
    clock.interrupt_at("id[1]", "unsaved")
    clock.advance(seconds=0)
    first, second = fetch(id).result
    assert first != second
    assert len(first) == 32


@pytest.mark.fault("S2")
def test_what_an_atomic_step_writes_is_there_with_its_value(clock, ran):
    id = durable.with_rows.enqueue("q1")
    clock.interrupt_at("rows", "unsaved")
    clock.advance(seconds=0)
    assert fetch(id).result == 1
    assert QueuePause.objects.filter(queue="q1").count() == 1
    assert ran == ["q1", "q1"]


# -- two workers -----------------------------------------------------------------------
@pytest.mark.fault("S3")
def test_a_worker_that_was_overtaken_stores_nothing(clock, ran, monkeypatch):
    """Another worker begins the run while the body of a step runs."""

    def overtaken(what, value=None):
        if what == 1 and 1 not in ran:
            Run.objects.update(start=99, held_until=0.0)
        return ran.append(what) or value

    monkeypatch.setattr(durable, "ran", overtaken)
    id = durable.in_steps.enqueue(3)
    assert clock.advance(seconds=0) == Counts(succeeded=1, put_off=1)
    assert ran == [0, 1, 1, 2], "what the first worker has done is not stored"
    assert run_of(id).start == 100


@pytest.mark.fault("S3")
def test_a_run_that_another_worker_has_is_put_off(clock, ran):
    id = durable.in_steps.enqueue(1)
    Run.objects.create(
        task_id=id, func="x", version=1, state="running", created=0.0, start=1,
        held_until=4e9,
    )  # fmt: skip  # that is in the year 2096
    assert clock.advance(seconds=0) == Counts(put_off=1)
    assert ran == []
    assert run_of(id).start == 1


# -- versions --------------------------------------------------------------------------
def test_a_run_of_an_accepted_version_goes_on(clock, ran):
    id = async_task(durable.second_version, q_options={"version": 1})
    clock.advance(seconds=0)
    assert fetch(id).result == 2
    assert run_of(id).version == 1


def test_a_run_that_is_not_accepted_waits_and_is_shown(clock, ran, caplog, monkeypatch):
    id = async_task(durable.third_version, q_options={"version": 1})
    clock.advance(seconds=0)
    assert (run_of(id).state, ran) == ("needs version", [])
    assert "needs version 1, and this code accepts 3" in caplog.text
    assert status(id) == "suspended"
    monkeypatch.setitem(durable.third_version.options, "accepts", [1])
    clock.advance(seconds=61)
    assert fetch(id).result == 3


# -- elsewhere ---------------------------------------------------------------------------
def test_sync_runs_steps_and_does_not_wait(qcore_queue, ran):
    id = async_task(durable.in_steps, 2, q_options={"sync": True})
    assert fetch(id).result == [0, 2]
    assert run_of(id).state == "success"
    with pytest.raises(StepError, match="qcore_clock"):
        async_task(durable.onboard, "gil", q_options={"sync": True})
    assert ran == [0, 1, "create"]


def test_a_run_that_sleeps_can_be_cancelled(clock, ran):
    id = durable.onboard.enqueue("hal")
    clock.advance(days=1)
    assert status(id) == "suspended"
    cancel(id)
    (row,) = OutboxRow.objects.all()
    assert row.due is not None


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(10**400, id="large"),
        pytest.param(10**5000, id="too large to be shown"),
        float("nan"),
        float("inf"),
        -1,
        True,
        "1",
        dt.datetime(9999, 12, 31, tzinfo=dt.UTC),
        dt.datetime(2030, 1, 1),
    ],
)
def test_a_moment_that_is_none_is_refused(when):
    with pytest.raises(StepError):
        due_at(when, time.time())


@pytest.mark.parametrize(
    "name",
    [None, "", b"x", 1.5, [], pytest.param(10**5000, id="too large to be shown")],
)
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(StepError, match="expected a text"):
        name_of("step", name)
    with pytest.raises(StepError, match="expected a text"):
        emit(name)
    if name not in (None, ""):
        with pytest.raises(
            StepError, match="expected a text or a whole number"
        ) as told:
            name_of("step", "a", [name])
        assert len(str(told.value)) < 200
