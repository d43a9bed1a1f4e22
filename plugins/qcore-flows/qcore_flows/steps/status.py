"""Status: what has become of runs, and the timeline of one, for people and programs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count

from qcore.brokers.tools import chunks
from qcore.envelope import UNTOLD, Outcome

from ..models.steps import Run, RunStep, Spawned
from .ledger import the_ledger
from .words import TOO_LATE, Kind, RunState

if TYPE_CHECKING:
    from django.db.models import QuerySet

#: The states of a run: those of one that has not ended, and how it can have ended.
STATES = (
    *map(str, RunState),
    *(str(one) for one in Outcome if one not in UNTOLD and one != Outcome.STOPPED),
)
#: Ids in one statement. SQLite before 3.32 takes 999 parameters.
_MOST = 150


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a durable task is. Moments are seconds since the epoch, or None."""

    task_id: str
    func: str
    version: int
    state: str
    """One of ``STATES``."""
    waits_for: str
    """The name of the step that it sleeps or waits in; "" where it does not."""
    due: float | None
    """When it goes on if nobody wakes it."""
    starts: int
    """How often a worker has begun it."""
    steps: int
    """What it has stored: steps, sleeps, waits and spawned tasks."""
    created: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class StepStatus:
    """A step of a run. Moments are seconds since the epoch, or None."""

    name: str
    kind: str
    """"step", "atomic", "sleep", "wait", "spawn" or "wait for tasks"."""
    state: str
    """"done"; "waits"; "too late": what it has waited for did not come in time. Of a spawned
    task its outcome, or "sent"."""
    began: float
    done: float | None
    due: float | None
    """When it goes on if nobody wakes it."""
    task_id: str | None
    """Of a task that was spawned."""

    @property
    def seconds(self) -> float | None:
        """How long it has taken; None: it is not done."""
        return None if self.done is None else max(0.0, self.done - self.began)


def find(task_id: str) -> RunStatus | None:
    """Return the status of a run; None: there is none of this task, or it was pruned."""
    found = _of_rows(list(_runs().filter(pk=task_id)))
    return found[0] if found else None


def list_runs(
    limit: int, states: Collection[str] = (), *, before: str = ""
) -> list[RunStatus]:
    """Return the newest runs, the newest first.

    Args:
        limit: how many at most.
        states: only runs in one of these; empty: all.
        before: the id of a task: only runs of tasks whose ids are lower; "": all.
    """
    rows = _runs()
    if before:
        rows = rows.filter(pk__lt=before)
    if states:
        rows = rows.filter(state__in=states)
    # ids of tasks ascend in time, and have the index of the primary key
    return _of_rows(list(rows.order_by("-pk")[:limit]))


def _runs() -> QuerySet[Run]:
    return Run.objects.using(the_ledger("a list of runs").database)


def _of_rows(rows: Collection[Run]) -> list[RunStatus]:
    database = the_ledger("a list of runs").database
    counts: dict[str, int] = {}
    for part in chunks([row.task_id for row in rows], _MOST):
        found = RunStep.objects.using(database).filter(run_id__in=part).order_by()
        groups = found.values_list("run_id").annotate(n=Count("pk"))
        counts.update(dict(groups))
    return [
        RunStatus(
            task_id=row.task_id,
            func=row.func,
            version=row.version,
            state=row.state,
            waits_for=row.waits_for if row.ended is None else "",
            due=row.due if row.ended is None else None,
            starts=row.start,
            steps=counts.get(row.task_id, 0),
            created=row.created,
            ended=row.ended,
        )
        for row in rows
    ]


def timeline(task_id: str) -> Iterator[StepStatus]:
    """Yield what a run has stored, in the order in which it began."""
    database = the_ledger("the timeline of a run").database
    spawned = dict(
        Spawned.objects.using(database)
        .filter(run_id=task_id)
        .values_list("task_id", "outcome")
    )
    rows = RunStep.objects.using(database).filter(run_id=task_id)
    small = rows.exclude(kind=Kind.SPAWN).defer("value")
    steps = [*small, *rows.filter(kind=Kind.SPAWN)]
    for row in sorted(steps, key=lambda row: (row.began, row.pk)):
        child = _child_of(row) if row.kind == Kind.SPAWN else None
        state = "waits" if row.done is None else "done"
        if row.content == TOO_LATE:
            state = TOO_LATE
        if child is not None:
            state = spawned.get(child) or "sent"
        yield StepStatus(
            name=row.name,
            kind=row.kind,
            state=state,
            began=row.began,
            done=row.done,
            due=row.due if row.done is None else None,
            task_id=child,
        )


def _child_of(row: RunStep) -> str | None:
    from .values import Value

    try:
        return str(Value(row.content, bytes(row.value or b"")).load())
    except Exception:  # noqa: BLE001 - whatever a damaged row has, the others are shown
        return None
