"""When failed tasks are tried again, as far as the ledger and their rows tell."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import DatabaseError

from ..errors import QcoreError
from ..models import OutboxRow, Task
from ..results.fingerprint import FAILED
from ..runtime import current
from ..tasks.ended import is_over
from .shown import NOTHING, moment

LEASE = "when its lease ends"
PARKED = "parked"


def next_tries(rows: Iterable[Task]) -> dict[str, str]:
    """Return what to show of each failed task, by its id; one query for all of them."""
    rows = list(rows)
    waiting = _waiting([row.pk for row in rows])
    return {row.pk: _told(row, waiting) for row in rows}


def _told(row: Task, waiting: dict[str, float | None]) -> str:
    if row.outcome not in FAILED:
        return NOTHING
    if row.pk in waiting:
        due = waiting[row.pk]
        return PARKED if due is None else moment(due)
    return NOTHING if is_over(row) else LEASE


def _waiting(ids: list[str]) -> dict[str, float | None]:
    """Return the rows of the outbox by their tasks; none where it cannot be asked."""
    if not ids:
        return {}
    try:
        outbox = current.outbox
        if outbox is None or not outbox.is_usable:
            return {}
        found = OutboxRow.objects.using(outbox.database).filter(task_id__in=ids)
        return dict(found.values_list("task_id", "due"))
    except (QcoreError, DatabaseError):
        return {}  # the list is worth seeing all the same
