"""Tracked tasks that have not ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qcore.ledger.place import is_ready
from qcore.models.tracked import Tracked
from qcore.runtime import current
from qcore.tasks.state import State

from .rows import Part, Row

if TYPE_CHECKING:
    from collections.abc import Collection

    from .query import Query

STATES = (str(State.WAITING), str(State.SCHEDULED), str(State.RUNNING))
#: Rows that one page looks at. There is no index by the time of their enqueueing.
LOOKED_AT = 500

_TABLES = frozenset({Tracked._meta.db_table})  # noqa: SLF001 - Django's public name of it


def find(query: Query, shown: Collection[str]) -> Part:
    """Return tracked tasks without an end, the newest first.

    Args:
        query: what is asked for.
        shown: ids of tasks that are in the list already.
    """
    tracker = current.tracker
    if tracker is None or not is_ready(
        tracker.database, _TABLES, "no tracked task is listed"
    ):
        return Part([])
    stored = Tracked.objects.using(tracker.database).filter(finished=None)
    if query.id is not None:
        stored = stored.filter(task_id=query.id)
    names = ("task_id", "func", "queue", "run_after", "enqueued", "state", "started")
    found = [
        row
        for one in stored.only(*names)[:LOOKED_AT]
        if one.task_id not in shown and query.fits(row := _row(one))
    ]
    return Part(sorted(found, key=lambda row: -(row.at or 0.0)))


def _row(one: Tracked) -> Row:
    is_later = one.run_after is not None and one.run_after > time.time()
    if one.state == State.RUNNING:
        state, at, event = State.RUNNING, one.started, "began"
    elif is_later:
        state, at, event = State.SCHEDULED, one.run_after, "due"
    else:
        state, at, event = State.WAITING, one.enqueued, "sent"
    return Row(
        id=one.task_id,
        state=str(state),
        func=one.func,
        queue=one.queue,
        at=at,
        event=event,
    )
