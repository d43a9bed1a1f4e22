"""Tasks that durable tasks spawn: sent once, and waited for until the last one has ended."""

from __future__ import annotations

import msgspec
import pytest
from chores import durable
from django.db import transaction

from qcore import Claim, Drop
from qcore.envelope import Outcome
from qcore.errors import EnqueueError
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.settled import Settled
from qcore.tasks import async_task, fetch, status
from qcore.tasks.calls import build
from qcore.tasks.inline import store_value
from qcore.testing.drain import Counts, enqueued
from qcore_flows import Batch, ChildFailed, StepError, WaitTimeout, qcore_admit
from qcore_flows.models import Run, RunStep, Spawned
from qcore_flows.steps import sweeping
from qcore_flows.steps.settling import settle as settle_runs

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ran")]

DAY = 86_400.0


def run_of(task_id):
    return Run.objects.get(pk=task_id)


def test_a_task_waits_for_all_that_it_has_spawned(clock, ran):
    id = durable.fan_out.enqueue([3, 1, 0, 2])
    assert clock.advance(seconds=0) == Counts(succeeded=5, suspended=1)
    assert fetch(id).result == [9, 3, None, 6], "in the order of the ids"
    assert sorted(ran[:4]) == [("triple", number) for number in range(4)]
    assert ran[4:] == ["close"]
    assert OutboxRow.objects.count() == 0
    assert not Spawned.objects.filter(outcome=None).exists()
    assert not Spawned.objects.exclude(waited=None).exists()


def test_a_run_is_woken_once_and_not_by_each_end(clock, ran):
    id = durable.fan_out.enqueue(list(range(1, 9)))
    clock.advance(seconds=0)
    assert run_of(id).start == 2


def test_it_says_what_it_waits_for(clock):
    id = durable.fan_out.enqueue([1], delay=60)
    clock.advance(seconds=30)
    assert status(id) == "suspended"
    assert (run_of(id).state, run_of(id).waits_for) == ("suspended", "children")
    clock.advance(seconds=31)
    assert fetch(id).result == [3]


def test_nothing_is_waited_for_without_tasks(clock):
    id = durable.fan_out.enqueue([])
    assert clock.advance(seconds=0) == Counts(succeeded=1)
    assert fetch(id).result == []


def test_a_durable_task_can_be_spawned(clock, ran):
    id = durable.spawn_sleeper.enqueue("ada")
    clock.advance(days=13)
    assert ran == ["create"]
    clock.advance(days=9)
    assert fetch(id).result == "user ada: none"


# -- ends ------------------------------------------------------------------------------
def test_a_task_that_fails_is_told_when_all_have_ended(clock, ran):
    id = durable.fan_out.enqueue([1, -1, 2])
    counts = clock.advance(seconds=0, raises=False)
    assert (counts.succeeded, counts.failed) == (2, 2)
    record = fetch(id)
    assert record.outcome == "discarded", "another attempt would find the same"
    assert "1 of 3 tasks of wait_all('children')" in record.result
    (failed,) = Spawned.objects.exclude(outcome="success")
    assert f"{failed.task_id} (failure)" in record.result
    assert "close" not in ran
    assert issubclass(ChildFailed, Exception)


def test_a_task_that_fails_is_none_where_the_run_goes_on(clock):
    id = durable.fan_out.enqueue([1, -1, 2], on_failure="go on")
    clock.advance(seconds=0, raises=False)
    assert fetch(id).result == [3, None, 6]


def test_a_failure_can_be_caught(clock):
    id = durable.spawn_one.enqueue(-1)
    clock.advance(seconds=0, raises=False)
    assert fetch(id).result == ["failure"]


@pytest.mark.parametrize("outcome", ["cancelled", "expired", "crash", "replaced"])
def test_every_end_but_success_is_a_failure(clock, outcome):
    id = durable.fan_out.enqueue([1], delay=60)
    clock.advance(seconds=0)
    (child,) = Spawned.objects.all()
    task = build("math.sqrt", (4,), spawned_by=id)
    told(over(msgspec.structs.replace(task, id=child.task_id), outcome))
    clock.advance(seconds=1, raises=False)
    assert f"({outcome})" in fetch(id).result


def test_a_result_that_cannot_be_stored_fails_its_task(clock, settings):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"max_result": 1000}
    id = durable.spawn_one.enqueue(2_000, name="chores.durable.long_text")
    clock.advance(seconds=0, raises=False)
    assert fetch(id).result == ["discarded"]


def test_a_time_out_is_a_stored_answer(clock, ran):
    id = durable.fan_out.enqueue([1], timeout=10, default=["none"], delay=60)
    clock.advance(seconds=11)
    assert fetch(id).result == ["none"]
    clock.advance(seconds=60)
    assert fetch(id).result == ["none"]
    assert ran == ["close", ("triple", 1)], "the spawned task goes on"


def test_a_time_out_raises_without_a_default(clock):
    durable.fan_out.enqueue([1], timeout=10, delay=60)
    with pytest.raises(WaitTimeout, match=r"wait_all\('children'\)"):
        clock.advance(seconds=11)


def test_a_task_can_be_waited_for_again(clock):
    id = durable.twice_waited.enqueue(2)
    clock.advance(seconds=61)
    assert fetch(id).result == ["not yet", 6]


# -- crashes ---------------------------------------------------------------------------
@pytest.mark.fault("S5")
@pytest.mark.parametrize("when", ["before", "unsaved", "after"])
@pytest.mark.parametrize("place", ["child[1]", "child[2]", "children", "close"])
def test_each_task_is_spawned_once_wherever_its_run_is_killed(clock, ran, place, when):
    id = durable.fan_out.enqueue([1, 2])
    clock.interrupt_at(place, when)
    counts = clock.advance(seconds=0)
    assert fetch(id).result == [3, 6]
    assert counts.interrupted == (0 if (place, when) == ("children", "unsaved") else 1)
    assert sorted(entry for entry in ran if entry != "close") == [
        ("triple", 1),
        ("triple", 2),
    ]
    assert Spawned.objects.count() == 2


@pytest.mark.fault("S5")
def test_a_worker_that_was_overtaken_spawns_nothing(clock, ran, monkeypatch):
    real = durable.spawn

    def overtaken(*args, **kwargs):
        if not Spawned.objects.exists() and run_of(id).start == 1:
            Run.objects.update(start=99, held_until=0.0)
        return real(*args, **kwargs)

    monkeypatch.setattr(durable, "spawn", overtaken)
    id = durable.fan_out.enqueue([1])
    assert clock.advance(seconds=0).put_off == 1
    assert ran == [("triple", 1), "close"]
    assert Spawned.objects.count() == 1


def waiting_run(state, *children):
    """Make a run that waits for tasks; return its task and theirs."""
    task = build(durable.fan_out, ([],), durable=True)
    task = msgspec.structs.replace(task, needs=("flows",))
    Run.objects.create(task_id=task.id, func=task.func, state=state, created=0.0)
    tasks = [
        build("math.sqrt", (number,), spawned_by=task.id)
        for number in range(len(children))
    ]
    for one, is_waited in zip(tasks, children, strict=True):
        waited = task.id if is_waited else None
        Spawned.objects.create(
            task_id=one.id, run_id=task.id, waited=waited, touched=0.0
        )
    return task, tasks


def over(task, outcome="success"):
    return Settled(task=task, outcome=outcome, final=True)


def told(*settled):
    with transaction.atomic():
        settle_runs(settled)


@pytest.mark.parametrize("state", ["running", "suspended"])
def test_an_end_wakes_the_run_when_it_is_the_last_one(clock, state):
    task, (a, b, c) = waiting_run(state, True, True, False)
    told(over(a), over(c))
    assert (run_of(task.id).state, run_of(task.id).woken) == (state, False)
    told(over(a, "failure"), over(b, "crash"))
    after = "waiting" if state == "suspended" else "running"
    assert (run_of(task.id).state, run_of(task.id).woken) == (after, True)
    outcomes = dict(Spawned.objects.values_list("task_id", "outcome"))
    assert outcomes == {a.id: "success", b.id: "crash", c.id: "success"}, (
        "the first end"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_run_that_is_suspended_with_the_last_end_goes_on(clock, order):
    task, (child,) = waiting_run("running", True)
    suspended = Settled(task=task, outcome=Outcome.SUSPENDED, final=False)
    told(*[suspended, over(child)][::order])
    assert run_of(task.id).state == "waiting"


def test_an_end_of_a_run_that_is_over_is_written_and_wakes_nobody(clock):
    task, (child,) = waiting_run("suspended", True)
    told(over(task, "cancelled"), over(child))
    assert run_of(task.id).state == "cancelled"
    assert Spawned.objects.get().outcome == "success"


# -- what was lost ---------------------------------------------------------------------
def swept(clock, seconds):
    clock.advance(seconds=seconds)
    sweeping.sweep(current.ledger.now())


@pytest.mark.fault("S6")
def test_a_spawned_task_that_was_lost_with_its_queue_is_told(clock):
    task, (child,) = waiting_run("suspended", True)
    current.outbox.write([("q", child.id, b"", 0)], delay=9 * DAY, token=None)
    swept(clock, 2 * DAY)
    assert run_of(task.id).state == "suspended", "the outbox has it"
    OutboxRow.objects.all().delete()
    swept(clock, DAY - 60)
    assert run_of(task.id).state == "suspended", "it is not looked for so soon"
    swept(clock, 120)
    assert run_of(task.id).state == "waiting"
    row = Spawned.objects.get()
    assert (row.outcome, row.waited, row.touched) == ("lost", None, None)
    # it comes after all
    (answer,) = qcore_admit([Claim(child, 1, 1e12, 1)])
    assert isinstance(answer, Drop)


def test_a_success_that_nobody_has_told_of_is_found(clock):
    task, (child,) = waiting_run("suspended", True)
    store_value(child, 5)
    swept(clock, 2 * DAY)
    assert run_of(task.id).state == "waiting"
    row = Spawned.objects.get()
    assert (row.outcome, bytes(row.value)) == ("success", b"5")


def test_a_run_takes_its_spawned_tasks_along_when_it_is_pruned(clock):
    durable.fan_out.enqueue([1])
    clock.advance(seconds=0)
    swept(clock, 15 * DAY)
    assert (Run.objects.count(), RunStep.objects.count()) == (0, 0)
    assert Spawned.objects.count() == 0


# -- what is refused -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (["0" * 32], "has not spawned 0000"),
        (["x"], r"got 'x' \(str\), expected an id"),
        ([7], r"got 7 \(int\), expected an id"),
        ("0" * 32, "expected a list of ids"),
        (None, "expected a list of ids"),
    ],
)
def test_what_was_not_spawned_cannot_be_waited_for(clock, ids, told):
    durable.wait_for_strange.enqueue(ids)
    with pytest.raises(StepError, match=told):
        clock.advance(seconds=0)
    assert RunStep.objects.count() == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"on_failure": "goon"}, "did you mean 'go on'"),
        ({"timeout": -1}, "timeout in seconds"),
        ({"default": {1: {2}}, "timeout": "x"}, "timeout in seconds"),
    ],
)
def test_wrong_arguments_are_told(clock, wrong, told):
    durable.fan_out.enqueue([1], **wrong)
    with pytest.raises(StepError, match=told):
        clock.advance(seconds=0)


@pytest.mark.parametrize("name", ["chores.nowhere.at_all", "len("])
def test_a_function_that_is_none_is_refused_where_it_is_spawned(clock, name):
    durable.spawn_one.enqueue(1, name=name)
    with pytest.raises(EnqueueError):
        clock.advance(seconds=0)
    assert Spawned.objects.count() == 0
    assert [task.func for task in enqueued()] == []


@pytest.mark.parametrize("wrong", [7, "x", "0" * 31])
def test_the_option_names_a_run(wrong):
    with pytest.raises(EnqueueError, match="id of a durable task"):
        async_task("math.sqrt", 4, q_options={"spawned_by": wrong})


def test_sync_does_not_wait(qcore_queue):
    with pytest.raises(StepError, match="qcore_clock"):
        async_task(durable.fan_out, [1], q_options={"sync": True})


# -- tests of users ----------------------------------------------------------------------
def test_what_follows_from_rows_comes_into_the_queue_of_a_test(qcore_queue):
    """The transaction of the test never commits."""
    with Batch() as batch:
        batch.on_success(durable.triple, 4)
        batch.add_many(durable.triple, [1, 2])
    assert [task.func for task in qcore_queue.enqueued()] == [
        "chores.durable.triple"
    ] * 2
    assert qcore_queue.drain().succeeded == 3
    assert batch.status().state == "succeeded"


def test_what_was_undone_does_not_come_into_the_queue_of_a_test(qcore_queue):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        with Batch() as batch:
            batch.add(durable.triple, 1)
        raise ZeroDivisionError
    assert qcore_queue.enqueued() == []
    assert batch.status() is None
