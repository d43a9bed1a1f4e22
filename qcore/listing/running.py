"""Tasks that run, as the clusters tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..tasks.state import State
from .rows import Part, Row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..status import Snapshot
    from .query import Query

STATES = (str(State.RUNNING),)


def find(clusters: Iterable[Snapshot], query: Query) -> Part:
    """Return what runs, the longest first; all of it at once, for workers are few."""
    rows = [
        Row(
            id=worker.task_id,
            state=str(State.RUNNING),
            func=worker.func,
            name=worker.task_name,
            queue=cluster.queue,
            at=None if worker.seconds is None else cluster.at - worker.seconds,
            event="began",
            seconds=worker.seconds,
            progress=None if worker.progress is None else worker.progress.text,
        )
        for cluster in clusters
        for worker in cluster.workers
        if worker.task_id
    ]
    rows.sort(key=lambda row: (row.at is None, row.at or 0.0, row.id))
    return Part([row for row in rows if query.fits(row)])
