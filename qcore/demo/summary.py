"""What became of the tasks of the demo, read from the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from django.db.models import Max

from ..cli.dead import table_of
from ..envelope import Outcome
from ..models import Failure, Task
from ..tasks import dead_groups
from .kinds import Kind, complaint
from .report import OUTCOMES, Line, Summary


def summarise(
    kinds: Sequence[Kind], *, sending: float, seconds: float, workers: int
) -> Summary:
    """Read what became of the tasks."""
    failure = Failure.objects.filter(group="failing", outcome=Outcome.FAILURE).first()
    groups = dead_groups()
    return Summary(
        lines=[_line(kind) for kind in sorted(kinds, key=lambda kind: -kind.count)],
        sending=sending,
        working=_working("fast"),
        seconds=seconds,
        workers=workers,
        traceback=str(failure.result).strip().splitlines() if failure else [],
        dead=table_of(groups, len(groups)) if groups else [],
    )


def _line(kind: Kind) -> Line:
    rows = Task.objects.filter(group=kind.name)
    ends = Counter(rows.values_list("outcome", flat=True))
    times = list(rows.values_list("enqueued", "started", "stopped"))
    attempts = rows.aggregate(most=Max("attempt_count"))["most"]
    waits = [(started - sent).total_seconds() for sent, started, _ in times]
    runs = [(stopped - started).total_seconds() for _, started, stopped in times]
    return Line(
        kind=kind.name,
        sent=kind.count,
        outcomes={outcome: ends[outcome] for outcome in OUTCOMES},
        attempts=attempts,
        wait=median(waits) if waits else None,
        run=median(runs) if runs else None,
        complaint=complaint(kind),
    )


def _working(group: str) -> float:
    times = list(Task.objects.filter(group=group).values_list("started", "stopped"))
    if not times:
        return 0.0
    first, last = min(start for start, _ in times), max(stop for _, stop in times)
    elapsed = (last - first).total_seconds()
    return len(times) / elapsed if elapsed > 0 else 0.0
