"""Tracked tasks that have not ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..clock import Clock
from ..ledger.place import is_ready
from ..models.tracked import Tracked
from ..runtime import current
from ..tasks.state import State
from .narrow import narrow
from .rows import Part, Row

if TYPE_CHECKING:
    from collections.abc import Collection

    from .query import Query

STATES = (str(State.WAITING), str(State.SCHEDULED), str(State.RUNNING))
#: Rows that one page looks at: a search that fits few of them goes on from there.
LOOKED_AT = 500

_TABLES = frozenset({Tracked._meta.db_table})  # noqa: SLF001 - Django's public name of it


def find(query: Query, after: str, limit: int, shown: Collection[str] = ()) -> Part:
    """Return tracked tasks without an end, the newest first.

    Args:
        query: what is asked for.
        after: the id of the task where the page before has ended; "": the first page.
        limit: tasks at most.
        shown: ids of tasks that are in the list already.
    """
    tracker = current.tracker
    if tracker is None or not is_ready(
        tracker.database, _TABLES, "no tracked task is listed"
    ):
        return Part([])
    stored = Tracked.objects.using(tracker.database).filter(finished=None)
    if after:
        stored = stored.filter(task_id__lt=after[:32])
    if query.id is not None:
        stored = stored.filter(task_id=query.id)
    stored = narrow(narrow(stored, "func", query.func), "queue", query.queue)
    if not query.may_be([str(State.WAITING), str(State.SCHEDULED)]):
        stored = stored.filter(state=str(State.RUNNING))
    elif not query.may_be([str(State.WAITING), str(State.RUNNING)]):
        stored = stored.filter(run_after__gt=time.time() + Clock.offset)
    names = ("task_id", "func", "queue", "run_after", "enqueued", "state", "started")
    found: list[Row] = []
    looked, last = 0, after
    for one in stored.only(*names).order_by("-task_id")[
        :LOOKED_AT
    ]:  # ids ascend in time
        if len(found) == limit:
            return Part(found, last)
        looked, last = looked + 1, one.task_id
        row = _row(one)
        if one.task_id not in shown and query.fits(row):
            found.append(row)
    return Part(found, last if looked == LOOKED_AT else None)


def _row(one: Tracked) -> Row:
    is_later = one.run_after is not None and one.run_after > time.time() + Clock.offset
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
