"""Any graph, any order of ends, each of them once or several times, lost or rolled back.

Whatever happens, each callback is sent once or never, as the ends of the members say, and each
node is sent once, when those that it waits for have let it go. Broken twins prove that the
walk would notice.
"""

from __future__ import annotations

import json
import random

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcore.runtime import current
from qcore_flows import Batch, Flow, callbacks, ending
from qcore_flows.models import FlowRow
from qcore_flows.repair import recount
from qcore_flows.tables import lock

ECHO = "chores.kind.echo"
OUTCOMES = ("success", "success", "success", "failure", "crash", "timeout", "expired")
OUTCOMES += ("cancelled", "discarded", "replaced")
CALLBACKS = ("on_success", "on_complete", "on_first_failure")


class Undo(Exception):
    """Rolls a transaction back."""


def called(queue):
    """Return which callbacks were sent, sorted."""
    words = [json.loads(task.body)[0][0] for task in queue.tasks()]
    return sorted(word for word in words if word in CALLBACKS)


def make(kind, size, chance):
    """Return a flow with callbacks, and for each node its parents and whether it may fail."""
    if kind == "batch":
        with Batch() as batch:
            for word in CALLBACKS:
                getattr(batch, word)(ECHO, word)
            batch.add_many(ECHO, range(size))
        return batch, [((), False)] * size
    flow, nodes, shape = Flow(), [], []
    for word in CALLBACKS:
        getattr(flow, word)(ECHO, word)
    for number in range(size):
        parents = tuple(n for n in range(number) if chance.random() < 0.4)
        may_fail = chance.random() < 0.3
        taken = [nodes[n] for n in parents if chance.random() < 0.5]
        after = [nodes[n] for n in parents]
        on_failure = "go on" if may_fail else "stop"
        nodes.append(flow.add(ECHO, taken, after=after, on_failure=on_failure))
        shape.append((parents, may_fail))
    flow.send()
    return flow, shape


def expected(shape, outcomes):
    """Return how each member ends, by what its task would do and by those it waits for."""
    found = []
    for (parents, _), outcome in zip(shape, outcomes, strict=True):
        stopped = any(
            found[n] == "skipped" or (found[n] != "success" and not shape[n][1])
            for n in parents
        )
        found.append("skipped" if stopped else outcome)
    return found


def walk(queue, kind, size, seed):
    """Let a flow go through one history, and check what has become of it."""
    chance = random.Random(seed)
    current.broker().purge_queue()
    flow, shape = make(kind, size, chance)
    outcomes = [chance.choice(OUTCOMES) for _ in range(size)]
    numbers = {one.task_id: n for n, one in enumerate(flow.members())}
    over: set[str] = set()
    while True:
        tasks = [task for task in queue.tasks() if task.id in numbers]
        ids = [task.id for task in tasks]
        assert len(ids) == len(set(ids)), "a node was sent twice"
        left = [id for id in ids if id not in over]
        if not left:
            break
        some = chance.sample(left, chance.randint(1, min(3, len(left))))
        if chance.random() < 0.3:
            with pytest.raises(Undo), transaction.atomic():
                _end(queue, some, numbers, outcomes)
                raise Undo
            continue
        if chance.random() < 0.3:
            queue.end(*some, outcome="failure", final=False)
        _end(queue, some, numbers, outcomes)
        over |= set(some)
        if chance.random() < 0.3:
            _end(queue, chance.sample(sorted(over), 1), numbers, outcomes)
    ends = expected(shape, outcomes)
    assert [one.state for one in flow.members()] == ends
    bad = [
        n
        for n, end in enumerate(ends)
        if end == "skipped" or (end != "success" and not shape[n][1])
    ]
    wanted = ["on_complete", "on_first_failure" if bad else "on_success"]
    assert called(queue) == wanted
    row = FlowRow.objects.get(pk=flow.id)
    assert row.pending == 0
    with transaction.atomic():
        assert not recount(lock([flow.id])[flow.id]), "the counts were wrong"


def _end(queue, ids, numbers, outcomes):
    by_outcome: dict[str, list[str]] = {}
    for id in ids:
        by_outcome.setdefault(outcomes[numbers[id]], []).append(id)
    with transaction.atomic():
        for outcome, some in by_outcome.items():
            queue.end(*some, outcome=outcome, value=1)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    kind=st.sampled_from(["batch", "graph", "graph"]),
    size=st.integers(0, 7),
    seed=st.integers(0, 2**32),
)
def test_any_history(queue, kind, size, seed):
    walk(queue, kind, size, seed)


# -- broken twins -----------------------------------------------------------------------------
def forgets_crashes(monkeypatch):
    real = ending.settle
    monkeypatch.setattr(
        ending,
        "settle",
        lambda all: real([one for one in all if one.outcome != "crash"]),
    )


def counts_what_is_not_final(monkeypatch):
    import msgspec

    real = ending.settle

    def settle(settled):
        real([msgspec.structs.replace(one, final=True) for one in settled])

    monkeypatch.setattr(ending, "settle", settle)


def counts_twice(monkeypatch):
    real = ending._count

    def count(locked, ended):
        real(locked, [*ended, *ended])

    monkeypatch.setattr(ending, "_count", count)


def decides_again(monkeypatch):
    real = callbacks.decide

    def decide(flow, now):
        flow.completed = None
        return real(flow, now)

    monkeypatch.setattr(ending, "decide", decide)
    real_send = ending.send_due

    def send_due(flow_id, due):
        for _ in due:
            real_send(flow_id, due)

    monkeypatch.setattr(ending, "send_due", send_due)


def skips_nothing(monkeypatch):
    monkeypatch.setattr(ending, "_skipped", lambda flow, stopped: [])


def lets_nobody_go(monkeypatch):
    monkeypatch.setattr(ending, "send_ready", lambda ids, now: [])


TWINS = [
    forgets_crashes,
    counts_what_is_not_final,
    counts_twice,
    decides_again,
    skips_nothing,
    lets_nobody_go,
]


@pytest.mark.parametrize("breaks", TWINS)
def test_a_broken_twin_is_caught(queue, monkeypatch, breaks):
    breaks(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(12):
            walk(queue, "graph", 6, seed)
