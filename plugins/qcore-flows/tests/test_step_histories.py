"""A durable task that is killed anywhere, any number of times, and ends as if it were not.

Each seed is one history in one process: kills before, in and after steps, sleeps, waits and
spawned tasks, and events that happen early or late. Broken twins prove that the walk would
notice what it looks for.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from chores import durable

from qcore.ledger.facade import LedgerFacade
from qcore.models import OutboxRow
from qcore.tasks import fetch
from qcore.testing import interrupts
from qcore_flows import emit
from qcore_flows.models import Run, RunStep, Spawned
from qcore_flows.steps import calls, memory, run, settling
from qcore_flows.steps.words import Kind

pytestmark = pytest.mark.django_db

#: Names of what the task does, in its order.
PLACES = ("first", "nap", "child[1]", "child[2]", "children", "answer", "last")
WHENS = ("before", "unsaved", "after")
#: Days that a history may take: the task sleeps for one.
MOST_DAYS = 4


def walk(clock, seed):
    """Let the task go through one history, and check what has become of it."""
    chance = random.Random(seed)
    durable.RAN.clear()
    interrupts.forget()
    key = f"walk {seed}"
    kills = [
        (place, when) for place in PLACES for when in WHENS if chance.random() < 0.35
    ]
    for place, when in kills:
        clock.interrupt_at(place, when)
    emitted_at = chance.randrange(3)
    id = durable.eventful.enqueue(key)
    for day in range(MOST_DAYS):
        if day == emitted_at:
            assert emit(f"answer:{key}", "yes")
        clock.advance(days=1)
    record = fetch(id)
    assert record is not None and record.success, "it has not ended"
    assert record.result == ["first", [3, 6], "yes", "last"]
    bodies = Counter(durable.RAN)
    for name in ("first", "last"):
        again = int((name, "unsaved") in kills)
        assert bodies[name] == 1 + again, f"{name} has run {bodies[name]} times"
    for number in (1, 2):
        assert bodies["triple", number] == 1, "a task was spawned twice"
    assert Run.objects.get(pk=id).state == "success"
    steps = RunStep.objects.filter(run_id=id)
    assert sorted(steps.values_list("name", flat=True)) == sorted(PLACES)
    assert not steps.filter(done=None).exists()
    assert not Spawned.objects.exclude(outcome="success").exists()
    assert not OutboxRow.objects.exists()
    interrupts.forget()


@pytest.mark.fault("S1", "S5")
@pytest.mark.parametrize("seed", range(16))
def test_any_history(qcore_queue, qcore_clock, seed):
    walk(qcore_clock, seed)


# -- broken twins -----------------------------------------------------------------------
def forgets_steps(monkeypatch):
    real = memory.Memory.add

    def add(self, name, kind, began, **columns):
        if kind != Kind.STEP:
            return real(self, name, kind, began, **columns)
        value = columns["value"]
        return memory.Remembered("", name, kind, None, 1.0, columns["content"], value)

    monkeypatch.setattr(memory.Memory, "add", add)


def wakes_nobody(monkeypatch):
    monkeypatch.setattr(LedgerFacade, "wake", lambda self, plugin, ids, delay=0: set())


def hears_of_no_end(monkeypatch):
    monkeypatch.setattr(settling, "spawned_by", lambda task: None)


def sleeps_too_long(monkeypatch):
    monkeypatch.setattr(calls, "due_at", lambda when, now: now + 1e6)


def spawns_again(monkeypatch):
    """As if the task and its id were written in two transactions."""
    real = run.DurableRun.recall
    again = iter([True])

    def recall(self, name, was, *kinds):
        found = real(self, name, was, *kinds)
        if name == "child[1]" and found is not None and next(again, False):
            RunStep.objects.filter(run_id=self.id, name=name).delete()
            return None
        return found

    monkeypatch.setattr(run.DurableRun, "recall", recall)


TWINS = [forgets_steps, wakes_nobody, hears_of_no_end, sleeps_too_long, spawns_again]


@pytest.mark.parametrize("breaks", TWINS)
def test_a_broken_twin_is_caught(qcore_queue, qcore_clock, monkeypatch, breaks):
    breaks(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(8):
            walk(qcore_clock, seed)
