"""The kinds of tasks in the demo: how each is sent, and how it should end."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from ..envelope import Outcome
from ..models import Schedule, Task
from ..tasks import async_chain, async_task, async_task_many, result_group, schedule
from . import tasks
from .settings import MAX_CRASHES

#: Tasks that are sent in one transaction: few enough that the cluster, which waits
#: for the same lock, begins while more are sent.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Kind:
    """Tasks of one kind; ``name`` is also the label of their group."""

    name: str
    count: int
    outcome: str  # how each of them should end
    send: Callable[[Kind], None]
    values: Sequence[Any] | None = None  # what they should return, in any order


def kinds(fast: int) -> list[Kind]:
    """Return all kinds, in the order in which they are sent; ``fast`` of the fast ones."""
    return [
        Kind("crash", 1, Outcome.CRASH, _crash),
        Kind("timeout", 2, Outcome.TIMEOUT, _timeout),
        Kind("failing", 3, Outcome.FAILURE, _failing),
        Kind("schedule", 1, Outcome.SUCCESS, _schedule, ["on time"]),
        Kind("slow", 24, Outcome.SUCCESS, _slow, [0.5] * 24),
        Kind("chain", 3, Outcome.SUCCESS, _chain, [1, 2, 3]),
        Kind("group", 20, Outcome.SUCCESS, _group, range(20)),
        Kind("fast", fast, Outcome.SUCCESS, _fast, [n * n for n in range(fast)]),
    ]


# -- sending ------------------------------------------------------------------------
def _fast(kind: Kind) -> None:
    for first in range(0, kind.count, BATCH):
        numbers = range(first, min(first + BATCH, kind.count))
        async_task_many(tasks.fast, [(n,) for n in numbers], group=kind.name)


def _slow(kind: Kind) -> None:
    async_task_many(tasks.slow, [(0.5,)] * kind.count, group=kind.name)


def _failing(kind: Kind) -> None:
    for _ in range(kind.count):
        async_task(tasks.failing, 120, 0, group=kind.name, ack_failure=True)


def _timeout(kind: Kind) -> None:
    for _ in range(kind.count):
        async_task(tasks.endless, group=kind.name, timeout=1, ack_failure=True)


def _crash(kind: Kind) -> None:
    for _ in range(kind.count):
        async_task(tasks.deadly, group=kind.name)


def _chain(kind: Kind) -> None:
    links = [(tasks.step, (n,)) for n in range(1, kind.count + 1)]
    async_chain(links, group=kind.name)


def _group(kind: Kind) -> None:
    async_task_many(tasks.member, [(n,) for n in range(kind.count)], group=kind.name)


def _schedule(kind: Kind) -> None:
    soon = timezone.now() + dt.timedelta(seconds=2)
    schedule(
        tasks.scheduled, name=kind.name, schedule_type=Schedule.ONCE, next_run=soon
    )


# -- looking at what became of them -------------------------------------------------
def ended() -> Counter[str]:
    """Return how many tasks of each kind have ended for good."""
    again = Q(outcome=Outcome.CRASH, crashes__lt=MAX_CRASHES)  # it will be tried again
    rows = Task.objects.exclude(again).values_list("group").annotate(Count("id"))
    return Counter({str(group): count for group, count in rows})


def complaint(kind: Kind) -> str | None:
    """Return what is not as it should be with a kind of tasks; None when all is well."""
    rows = Task.objects.filter(group=kind.name)
    ends = Counter(rows.values_list("outcome", flat=True))
    if ends != {kind.outcome: kind.count}:
        found = ", ".join(f"{count} {end}" for end, count in ends.items()) or "none"
        return f"expected {kind.count} {kind.outcome}, found {found}"
    if kind.outcome == Outcome.CRASH and rows.exclude(crashes=MAX_CRASHES).exists():
        return f"expected {MAX_CRASHES} crashes, found another number"
    if kind.values is None:
        return None
    values = result_group(kind.name)
    if kind.name != "chain":  # the links of a chain run in order, the others at once
        values = sorted(values)
    return None if values == list(kind.values) else "the results are not the right ones"
