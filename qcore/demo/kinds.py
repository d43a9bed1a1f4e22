"""The kinds of tasks in the demo: how each is sent, and how it should end."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from ..backoff import Backoff
from ..envelope import Outcome
from ..models import Schedule, Task
from ..tasks import (
    async_chain,
    async_task,
    async_task_many,
    cancel,
    result_group,
    schedule,
)
from . import tasks
from .settings import MAX_CRASHES

#: Tasks that are sent in one transaction: few enough that the cluster, which waits
#: for the same lock, begins while more are sent.
BATCH = 500
#: Waits of 0.2 and 0.4 seconds between three attempts. Without a backoff, a failed task
#: would wait for the end of its lease, which is longer than the demo.
BACKOFF = Backoff(0.2)
ATTEMPTS = 3
#: Seconds in which the task that expires must start, and for which it is kept back.
EXPIRES, KEPT = 0.01, 0.05


@dataclass(frozen=True, slots=True)
class Kind:
    """Tasks of one kind; ``name`` is also the label of their group."""

    name: str
    count: int
    outcome: str  # how each of them should end
    send: Callable[[Kind], None]
    values: Sequence[Any] | None = None  # what they should return, in any order
    attempts: int = 1  # after how many each of them should have ended


def kinds(fast: int, workers: int) -> list[Kind]:
    """Return all kinds, in the order in which they are sent.

    Args:
        fast: how many of the fast tasks.
        workers: how many the cluster has. The tasks that are overtaken are more: if the
            urgent one did not overtake them, they would hold every worker.
    """
    overtaken = 2 * workers
    return [
        Kind("crash", 1, Outcome.CRASH, _crash, attempts=MAX_CRASHES),
        Kind("progress", 1, Outcome.SUCCESS, _progress, ["seen"]),
        Kind("cancel", 2, Outcome.CANCELLED, _cancel),
        Kind("timeout", 2, Outcome.TIMEOUT, _timeout),
        Kind("failing", 3, Outcome.FAILURE, _failing),
        Kind("retry", 1, Outcome.SUCCESS, _retry, [ATTEMPTS], ATTEMPTS),
        Kind("dead", 1, Outcome.FAILURE, _dead, attempts=ATTEMPTS),
        Kind("discard", 1, Outcome.DISCARDED, _discard),
        Kind("expires", 1, Outcome.EXPIRED, _expires),
        Kind("schedule", 1, Outcome.SUCCESS, _schedule, ["on time"]),
        Kind(
            "priority",
            overtaken + 1,
            Outcome.SUCCESS,
            _priority,
            ["overtaken"] * overtaken + ["urgent"],
        ),
        Kind("slow", 16, Outcome.SUCCESS, _slow, [0.5] * 16),
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


def _retry(kind: Kind) -> None:
    options = {"backoff": BACKOFF, "max_attempts": ATTEMPTS + 1}
    for _ in range(kind.count):
        async_task(tasks.unsteady, ATTEMPTS, group=kind.name, q_options=options)


def _dead(kind: Kind) -> None:
    options = {"backoff": BACKOFF, "max_attempts": ATTEMPTS}
    for _ in range(kind.count):
        async_task(tasks.unsteady, ATTEMPTS + 1, group=kind.name, q_options=options)


def _discard(kind: Kind) -> None:
    for _ in range(kind.count):
        async_task(tasks.pointless, group=kind.name)


def _expires(kind: Kind) -> None:
    """Commit when it is too late already: no cluster can have seen the tasks before."""
    with transaction.atomic():
        for _ in range(kind.count):
            async_task(tasks.fast, 0, group=kind.name, expires=EXPIRES)
        time.sleep(KEPT)


def _cancel(kind: Kind) -> None:
    """Cancel all but one; that one is cancelled when it is seen to run."""
    for nth in range(kind.count):
        with transaction.atomic():
            task_id = async_task(tasks.patient, group=kind.name, timeout=None)
            if nth:
                cancel(task_id)


def _priority(kind: Kind) -> None:
    """Send the urgent task last, and commit all at once: no worker has begun."""
    with transaction.atomic():
        for _ in range(kind.count - 1):
            async_task(tasks.overtaken, group=kind.name)
        async_task(tasks.urgent, group=kind.name, priority=50)


def _progress(kind: Kind) -> None:
    for _ in range(kind.count):
        async_task(tasks.long, group=kind.name)


# -- looking at what became of them -------------------------------------------------
def ended(kinds: Sequence[Kind]) -> Counter[str]:
    """Return how many tasks of each kind have ended for good."""
    again = Q()  # those that will be tried again
    for kind in kinds:
        if kind.attempts > 1:
            once_more = Q(success=False, attempt_count__lt=kind.attempts)
            again |= Q(group=kind.name) & once_more
    rows = Task.objects.exclude(again).values_list("group").annotate(Count("id"))
    return Counter({str(group): count for group, count in rows})


def complaint(kind: Kind) -> str | None:
    """Return what is not as it should be with a kind of tasks; None when all is well."""
    rows = Task.objects.filter(group=kind.name)
    ends = Counter(rows.values_list("outcome", flat=True))
    if ends != {kind.outcome: kind.count}:
        found = ", ".join(f"{count} {end}" for end, count in ends.items()) or "none"
        return f"expected {kind.count} {kind.outcome}, found {found}"
    if kind.attempts > 1 and rows.exclude(attempt_count=kind.attempts).exists():
        return f"expected {kind.attempts} attempts, found another number"
    if kind.values is None:
        return None
    values = result_group(kind.name)
    if kind.name != "chain":  # the links of a chain run in order, the others at once
        values = sorted(values)
    return None if values == list(kind.values) else "the results are not the right ones"
