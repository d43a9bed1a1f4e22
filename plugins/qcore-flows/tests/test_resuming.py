"""Durable tasks that have failed are sent again, and go on after their last stored step."""

from __future__ import annotations

import pytest
from chores import durable

from qcore.errors import CallError
from qcore.tasks import fetch, resend
from qcore_flows import emit, resume
from qcore_flows.models import Run, RunStep, Spawned

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ran")]


@pytest.mark.fault("S7")
@pytest.mark.parametrize("send", [resend, resume])
def test_it_goes_on_after_its_last_step(clock, ran, failed, send):
    new = send(failed)
    clock.advance(seconds=0)
    assert fetch(new).result == [0, 2, 4]
    assert ran == [2], "the first two are stored"
    assert RunStep.objects.filter(run_id=new).count() == 3
    assert RunStep.objects.filter(run_id=failed).count() == 2, "its timeline stays"


def test_it_can_go_on_from_a_step(clock, ran, failed):
    new = resume(failed, from_step="part[1]")
    clock.advance(seconds=0)
    assert fetch(new).result == [0, 2, 4]
    assert ran == [1, 2]


def test_it_can_be_resumed_again(clock, ran, failed, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(durable, "ran", lambda what, value=None: 1 / 0)
        second = resume(failed)
        clock.advance(seconds=0, raises=False)
    third = resume(second)
    clock.advance(seconds=0)
    assert fetch(third).result == [0, 2, 4]
    assert ran == [2]


def test_what_came_too_late_is_waited_for_again(clock):
    id = durable.impatient.using(max_attempts=1).enqueue("ada")
    clock.advance(seconds=61, raises=False)
    assert Run.objects.get(pk=id).state == "failure"
    new = resume(id)
    clock.advance(seconds=59)
    assert Run.objects.get(pk=new).state == "suspended"
    emit("reply:ada", "yes")
    clock.advance(seconds=1)
    assert fetch(new).result == "yes"


@pytest.mark.fault("S7")
def test_spawned_tasks_that_succeeded_are_not_spawned_again(clock, ran, monkeypatch):
    real = durable.triple

    def fails(number):
        if number == 2:
            ran.append("failed")
            raise ValueError
        return real(number)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "triple", fails)
        patch.setattr(fails, "__module__", "chores.durable", raising=False)
        patch.setattr(fails, "__qualname__", "triple", raising=False)
        id = durable.fan_out.enqueue([1, 2, 3])
        clock.advance(seconds=0, raises=False)
    assert fetch(id).outcome == "discarded"
    ran.clear()
    new = resume(id)
    clock.advance(seconds=0)
    assert fetch(new).result == [3, 6, 9]
    assert ran == [("triple", 2), "close"]
    assert Spawned.objects.filter(run_id=new).count() == 3


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("success", "has succeeded"),
        ("suspended", "has not ended: its state is 'suspended'"),
    ],
)
def test_what_has_not_failed_is_refused(clock, state, told):
    ended = 1.0 if state == "success" else None
    Run.objects.create(
        task_id="a" * 32, func="x", state=state, created=0.0, ended=ended
    )
    with pytest.raises(CallError, match=told):
        resume("a" * 32)


def test_wrong_words_are_told(clock, failed):
    with pytest.raises(CallError, match="expected the id of a durable task"):
        resume("onboard")
    with pytest.raises(CallError, match="there is no run"):
        resume("0" * 32)
    with pytest.raises(CallError, match=r"has no step 'part\[9\]'.*did you mean"):
        resume(failed, from_step="part[9]")
    assert RunStep.objects.filter(run_id=failed).count() == 2


def test_what_cannot_be_sent_again_forgets_nothing(clock, failed):
    from qcore.tasks import delete

    delete(failed)
    with pytest.raises(CallError):
        resume(failed, from_step="part[0]")
    assert RunStep.objects.filter(run_id=failed).count() == 2
