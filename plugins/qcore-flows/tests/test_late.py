"""What comes late: ends, looks and wake-ups after which others have gone on already."""

from __future__ import annotations

import msgspec
import pytest
from chores import durable
from django.test import override_settings

from qcore import Settled
from qcore.envelope import Outcome, new_id
from qcore.ledger.clock import Clock
from qcore.runtime import current
from qcore.tasks import result
from qcore.tasks.calls import build
from qcore.tasks.inline import store_value
from qcore.tasks.sending import send
from qcore.testing.drain import drain
from qcore.testing.needs import settle
from qcore_flows import Batch, Flow, emit
from qcore_flows import sweep as sweeps
from qcore_flows.models import Event, Run
from qcore_flows.steps.settling import settle as settle_runs
from qcore_flows.steps.sweeping import KEPT_EVENTS
from qcore_flows.steps.sweeping import sweep as sweep_steps

ECHO = "chores.kind.echo"
FAIL = "chores.kind.fail"
DAY = 86_400.0


def later(monkeypatch, seconds):
    monkeypatch.setattr(Clock, "offset", Clock.offset + seconds)
    sweeps.sweep(current.ledger.now())


def states(flow):
    return [one.state for one in flow.members()]


def resend(task):
    """Send a dead task again, as `qcore retry` does; return the new one."""
    again = msgspec.structs.replace(
        task, id=new_id(), headers={"resent_from": task.id}, needs=(), relayed=False
    )
    send([again])
    return again


# -- sent again ---------------------------------------------------------------------------
def test_who_waits_for_a_resent_node_waits_for_the_others_too(queue):
    with Flow() as flow:
        a = flow.add(ECHO, 1, on_failure="go on")
        b = flow.add(ECHO, 2)
        flow.add(ECHO, [a, b])
    queue.end(a.id, outcome="failure")
    again = resend(queue.task(a.id))
    assert states(flow) == ["sent", "sent", "waiting"]
    queue.end(again.id, value=1)
    assert states(flow) == ["success", "sent", "waiting"]
    queue.end(b.id, value=2)
    assert states(flow) == ["success", "success", "sent"]


def test_nodes_that_were_skipped_wait_for_a_resent_node(queue):
    with Flow() as flow:
        a, b = flow.add(ECHO, 1), flow.add(ECHO, 2)
        flow.add(ECHO, [a, b])
        flow.on_success(ECHO, "on_success")
    queue.end(a.id, outcome="failure")
    assert states(flow) == ["failure", "sent", "skipped"]
    again = resend(queue.task(a.id))
    assert states(flow) == ["sent", "sent", "waiting"]
    assert (flow.status().skipped, flow.status().pending) == (0, 3)
    queue.end(again.id, value=1)
    drain()
    assert flow.status().state == "succeeded"


def test_a_node_that_was_sent_takes_what_its_parent_had_before_it_was_sent_again(queue):
    with Flow() as flow:
        a = flow.add(ECHO, 5)
        b = flow.add(ECHO, a)
    queue.end(a.id, value=5)
    assert states(flow) == ["success", "sent"]
    assert flow.retry_node(a) == 1
    (task,) = [one for one in queue.tasks() if one.id == b.id]
    from qcore_flows.calling import _taken

    assert [value for _, value in _taken(task.id)] == [5]


# -- looks -----------------------------------------------------------------------------------
def test_what_is_sent_again_during_a_look_is_not_lost(queue, monkeypatch):
    with Batch() as batch:
        id = batch.add(ECHO, 1)
    look = sweeps.whereabouts

    def ends_and_is_tried_again(ids):
        found = look(ids)
        queue.end(id, outcome="failure")
        assert batch.retry() == 1
        return found

    monkeypatch.setattr(sweeps, "whereabouts", ends_and_is_tried_again)
    later(monkeypatch, 2 * DAY)
    assert states(batch) == ["sent"]


def test_a_value_that_the_sweep_finds_is_passed_on(queue, monkeypatch):
    with Flow() as flow:
        a = flow.add(ECHO, 5)
        b = flow.add(ECHO, a)
    store_value(queue.task(a.id), 5)
    later(monkeypatch, 2 * DAY)
    assert states(flow) == ["success", "sent"]
    drain()
    assert result(b.id) == 5


def test_members_that_come_in_a_day_are_not_lost_when_they_come(queue, monkeypatch):
    """The relay has just sent them, all at once, and the workers are busy."""
    with Batch() as batch:
        ids = [batch.add(ECHO, n, delay=DAY) for n in range(3)]
        now = batch.add(ECHO, "now")
    queue.end(now)
    monkeypatch.setattr(Clock, "offset", DAY + 30)
    from qcore.models import OutboxRow

    OutboxRow.objects.all().delete()  # the relay has sent them
    sweeps.sweep(current.ledger.now())
    assert states(batch) == ["sent"] * 3 + ["success"]
    later(monkeypatch, DAY)
    assert states(batch) == ["lost"] * 3 + ["success"], "a day after they were due"
    assert len(ids) == 3


def test_a_member_that_has_slept_for_a_day_is_not_lost_when_it_wakes(
    queue, monkeypatch
):
    with Batch() as batch:
        id = batch.add(ECHO, 1)
    queue.settle(
        Settled(task=queue.task(id), outcome="suspended", final=False, again=DAY)
    )
    later(monkeypatch, DAY + 30)
    assert states(batch) == ["sent"]


def test_members_that_wait_in_the_broker_of_the_database_are_not_lost(
    queue, monkeypatch
):
    with override_settings(Q_CLUSTER={"name": "tests", "orm": "default"}):
        with Batch() as batch:
            batch.add(ECHO, 1, delay=3 * DAY)
        later(monkeypatch, 1.5 * DAY)
        assert states(batch) == ["sent"]


# -- runs ------------------------------------------------------------------------------------
def run_of(state, **columns):
    task = build(durable.strict, ("x",), durable=True)
    task = msgspec.structs.replace(task, needs=("flows",))
    Run.objects.create(
        task_id=task.id, func=task.func, state=state, created=0.0, **columns
    )
    return task


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("again", "columns"),
    [
        (None, {}),
        (30 * DAY, {}),
        (None, {"waits_for": "nap", "due": 4e9}),
        (30 * DAY, {"waits_for": "nap", "due": 1.0}),
    ],
)
def test_a_suspension_that_is_late_sends_the_run_on_at_once(again, columns):
    """Another worker has begun it since: what it waited for has happened."""
    task = run_of("running", start=2, held_until=4e9, **columns)
    settle_runs([Settled(task=task, outcome="suspended", final=False, again=again)])
    assert Run.objects.get().state == "waiting"


@pytest.mark.django_db
@pytest.mark.parametrize(("again", "due"), [(None, None), (3600.0, 3600.0)])
def test_a_suspension_in_time_suspends_the_run(again, due):
    moment = None if due is None else current.ledger.now() + due
    task = run_of("running", start=1, held_until=4e9, waits_for="nap", due=moment)
    settle_runs([Settled(task=task, outcome="suspended", final=False, again=again)])
    assert Run.objects.get().state == "suspended"


@pytest.mark.django_db
def test_a_copy_that_is_put_off_beside_the_end_does_not_hide_the_end():
    task = run_of("running", start=1)
    end = Settled(task=task, outcome=Outcome.SUCCESS, final=True)
    copy = Settled(task=task, outcome=Outcome.STOPPED, final=False, again=1.0)
    settle_runs([end, copy])
    assert Run.objects.get().state == "success"


@pytest.mark.django_db
def test_an_event_is_kept_from_the_moment_that_it_happened(monkeypatch):
    task = run_of("waiting")
    from qcore_flows.steps.events import lock_event

    current.ledger.run(lambda: lock_event("go", current.ledger.now()))
    monkeypatch.setattr(Clock, "offset", KEPT_EVENTS - 60)
    assert emit("go", 1)
    monkeypatch.setattr(Clock, "offset", KEPT_EVENTS + 60)
    sweep_steps(current.ledger.now())
    assert Event.objects.count() == 1
    settle(task, "success")
