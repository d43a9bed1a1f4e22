"""When failed tasks are tried again, as far as the ledger and their rows tell."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import Error

from ..errors import QcoreError
from ..models import OutboxRow, Task
from ..results.fingerprint import FAILED
from ..runtime import current
from ..tasks.ended import is_over
from .shown import NOTHING, sent_at

#: When a row of the outbox is due, who holds it, and when it was claimed.
Place = Sequence[Any]

LEASE = "when its lease ends"


def next_tries(rows: Iterable[Task]) -> dict[str, str]:
    """Return what to show of each failed task, by its id; one query for all of them."""
    rows = list(rows)
    waiting = outbox_places([row.pk for row in rows])
    return {row.pk: _told(row, waiting) for row in rows}


def _told(row: Task, waiting: dict[str, Place]) -> str:
    if row.outcome not in FAILED:
        return NOTHING
    if row.pk in waiting:
        due, held_by, claimed = waiting[row.pk]
        return sent_at(due, held_by, claimed, time.time())
    return NOTHING if is_over(row) else LEASE


def outbox_places(ids: list[str]) -> dict[str, Place]:
    """Return the rows of the outbox by their tasks; none where it cannot be asked."""
    if not ids:
        return {}
    try:
        outbox = current.outbox
        if outbox is None or not outbox.is_usable:
            return {}
        found = OutboxRow.objects.using(outbox.database).filter(task_id__in=ids)
        return {
            id: place
            for id, *place in found.values_list("task_id", "due", "held_by", "claimed")
        }
    except (QcoreError, Error):
        return {}  # the list is worth seeing all the same
