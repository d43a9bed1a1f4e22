"""Tasks in the outbox: scheduled for later, parked, suspended, or on their way to the broker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..clock import Clock
from ..errors import PackageError
from ..ledger.place import is_ready
from ..models import OutboxRow
from ..pages import BadQuery
from ..runtime import current
from ..tasks.state import State, in_outbox
from .rows import Part, Row

if TYPE_CHECKING:
    from .query import Query

STATES = tuple(
    map(str, (State.SCHEDULED, State.PARKED, State.SUSPENDED, State.WAITING))
)
#: Rows that one page looks at: a search that fits few of them goes on from there.
LOOKED_AT = 500


def find(query: Query, after: str, limit: int) -> Part:
    """Return tasks of the outbox, in the order in which they were written."""
    outbox = current.outbox
    if outbox is None or not is_ready(outbox.database):
        return Part([])
    rows = OutboxRow.objects.using(outbox.database).order_by("id")
    if after:
        rows = rows.filter(id__gt=_number(after))
    if query.id is not None:
        rows = rows.filter(task_id=query.id)
    if query.queue is not None and query.queue.parts is None:
        rows = rows.filter(queue=query.queue.text)
    found: list[Row] = []
    looked, last = 0, after
    for stored in rows[:LOOKED_AT]:
        if len(found) == limit:
            return Part(found, last)
        looked, last = looked + 1, str(stored.pk)
        row = _row(stored)
        if query.fits(row):
            found.append(row)
    return Part(found, last if looked == LOOKED_AT else None)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadQuery("The address of this page of the list cannot be read.")
    return int(text)


def _row(stored: OutboxRow) -> Row:
    due = stored.due
    state = in_outbox(due, stored.held_by, stored.claimed, time.time() + Clock.offset)
    try:
        task = current.signer.verify(bytes(stored.package), stored.queue)
    except PackageError as error:
        return Row(
            id=stored.task_id,
            state=state,
            func=None,
            queue=stored.queue,
            at=due,
            event="due",
            error=f"unreadable: {error}",
        )
    return Row(
        id=stored.task_id,
        state=state,
        func=task.func,
        name=task.name,
        group=task.group,
        queue=stored.queue,
        at=due,
        event="due",
    )
