"""Successes and failures. Their pickles are opened where the user says so, and only here.

Whoever can write to the table of results could have put any pickle there: opening it runs
it. So a result is moved closed, with a note in its place, until ``--unpickle``.
"""

from __future__ import annotations

import pickle
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from qcore.models import Task as QcoreTask
from qcore.runtime import current

from ..models import Moved, Task
from .report import Part
from .tables import TASKS, model_of

KIND = "task"
#: Rows that are moved in one transaction.
PORTION = 500

#: The content of arguments that were not opened: no project accepts it, so that such a
#: task cannot be sent again with other arguments than its own.
CLOSED = "django-q"
NOTE = (
    "This result was not opened when it was moved from django-q. Run: qcore migrate-from"
    " django_q --unpickle"
)


def move_results(part: Part, alias: str, *, unpickle: bool) -> None:
    """Move the results of a database.

    Args:
        part: notes what becomes of each.
        alias: of the database.
        unpickle: open the pickles, which runs what is in them; also those of rows that an
            earlier run has moved closed.
    """
    old = model_of(TASKS, alias)
    if old is None:
        return
    moved = Moved.objects.using(alias).filter(kind=KIND)
    done = dict(moved.values_list("old", "how"))
    rows = old.objects.using(alias).order_by("pk").iterator(chunk_size=PORTION)
    for portion in _portions(rows):
        fresh = [row for row in portion if row.pk not in done]
        closed = [row for row in portion if done.get(row.pk) == "note"]
        part.before += len(portion) - len(fresh)
        with transaction.atomic(using=alias):
            _store(fresh, part, alias, unpickle=unpickle)
            if unpickle:
                _open(closed, part, alias)


def _portions(rows: Any) -> Iterator[list[Any]]:
    portion: list[Any] = []
    for row in rows:
        portion.append(row)
        if len(portion) == PORTION:
            yield portion
            portion = []
    if portion:
        yield portion


def _store(rows: list[Any], part: Part, alias: str, *, unpickle: bool) -> None:
    there = set(
        QcoreTask.objects.using(alias)
        .filter(pk__in=[row.pk for row in rows])
        .values_list("pk", flat=True)
    )
    made, notes = [], []
    for row in rows:
        how = "note"
        task = _closed(row)
        if unpickle:
            how = _fill(task, row, part)
        if row.pk not in there:
            made.append(task)
            part.moved += 1
        notes.append(Moved(kind=KIND, old=row.pk, new=row.pk, how=how))
    QcoreTask.objects.using(alias).bulk_create(made)
    Moved.objects.using(alias).bulk_create(notes)


def _open(rows: list[Any], part: Part, alias: str) -> None:
    """Open what an earlier run has moved closed, as far as it is still there."""
    for row in rows:
        task = Task.objects.using(alias).filter(pk=row.pk, content=CLOSED).first()
        if task is None:
            continue
        if _fill(task, row, part) == "":
            QcoreTask.objects.using(alias).filter(pk=row.pk).update(
                content=task.content,
                payload=task.payload,
                value_content=task.value_content,
                value=task.value,
            )
            Moved.objects.using(alias).filter(kind=KIND, old=row.pk).update(how="")
            part.moved += 1
            part.before -= 1


def _closed(row: Any) -> Task:
    return Task(
        id=row.pk,
        name=row.name,
        func=row.func,
        hook=row.hook,
        group=getattr(row, "group", None),
        cluster=getattr(row, "cluster", None) or current.conf.queue,
        enqueued=row.started,
        started=row.started,
        stopped=row.stopped,
        success=row.success,
        attempt_count=max(1, getattr(row, "attempt_count", 1)),
        content=CLOSED,
        payload="",
        value_content="text",
        value=NOTE,
    )


def _fill(task: Task, row: Any, part: Part) -> str:
    """Open the pickles of a row; return how it was moved: ``"note"`` where that failed."""
    try:
        args, kwargs = opened(row.args) or (), opened(row.kwargs) or {}
        result = opened(row.result)
        whole = Task(
            success=task.success, args=tuple(args), kwargs=dict(kwargs), result=result
        )
    except Exception as error:  # noqa: BLE001 - a pickle may raise anything
        told = f"its pickle cannot be opened: {type(error).__name__}: {error}"
        part.notes.append((f"{row.pk} ({row.name})", told))
        return "note"
    task.content, task.payload = whole.content, whole.payload
    task.value_content, task.value = whole.value_content, whole.value
    return ""


def opened(text: str | None) -> Any:
    """Return the object of a column; it runs what is in the pickle."""
    return None if text is None else pickle.loads(b64decode(text))
