"""Forgotten: tracked tasks that ought to wait in a queue, and may be in none.

A queue that was purged, evicted or lost says nothing of what it held. Nobody can ask a broker
whether it has a task. What is known: a tracked task has a row with its call from its
enqueueing on. Such a task is *missing* if it has not ended, no package of it is in the outbox,
no cluster runs it, and it was sent, or was to be sent, long ago. It may still wait
in a long queue. So it is sent with its own id: a task whose end is stored does not run again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from django.db.models import Q
from msgspec import UNSET
from msgspec.structs import replace

from .. import status
from ..clock import wall
from ..envelope import Options, Task, task_name
from ..errors import PackageError
from ..models import OutboxRow, Ticket, Tracked
from ..results.content import to_bytes
from ..runtime import current
from ..tasks.allowed_tasks import ANNOUNCE

if TYPE_CHECKING:
    from django.db.models import QuerySet

logger = logging.getLogger("qcore.outbox")

_task = msgspec.json.Decoder(Task).decode

#: Rows that are read together.
_PAGE = 200


def missing(database: str, queue: str | None, seconds: float) -> Iterator[list[Task]]:
    """Yield the tasks that may be in no queue, page by page, the oldest id first.

    Args:
        database: the alias of the ledger's.
        queue: only its tasks; None: of all queues.
        seconds: that a task must have been due for.

    Raises:
        django.db.Error: the database does not answer.
        BrokerError, StoreError: it is not known which tasks run, or which have ended.
    """
    before, last = wall() - seconds, ""
    while page := list(_rows(database, queue, before, last)[:_PAGE]):
        last = page[-1].task_id
        rows = _not_elsewhere(database, page)
        tickets = Ticket.objects.using(database).filter(
            task_id__in=[row.task_id for row in rows]
        )
        gens = dict(tickets.values_list("task_id", "gen"))
        if tasks := list(_tasks_of(rows, gens)):
            yield tasks


def _rows(
    database: str, queue: str | None, before: float, last: str
) -> QuerySet[Tracked]:
    rows = Tracked.objects.using(database).filter(
        Q(run_after=None) | Q(run_after__lt=before),
        finished=None,
        enqueued__lt=before,
        task_id__gt=last,
    )
    # between two attempts, it is the last one that counts
    rows = rows.filter(Q(attempted=None) | Q(attempted__lt=before))
    if queue is not None:
        rows = rows.filter(queue=queue)
    return rows.order_by("task_id")


def _not_elsewhere(database: str, page: Sequence[Tracked]) -> list[Tracked]:
    """Return the rows of tasks that are neither in the outbox, nor run, nor have ended."""
    ids = [row.task_id for row in page]
    sent = OutboxRow.objects.using(database).filter(task_id__in=ids)
    over = Ticket.objects.using(database).filter(task_id__in=ids, final__isnull=False)
    known = {
        *sent.values_list("task_id", flat=True),
        *over.values_list("task_id", flat=True),
        *current.results.finished(ids),
        *(w.task_id for one in status.running() for w in one.workers if w.task_id),
    }
    return [row for row in page if row.task_id not in known]


def _tasks_of(rows: Sequence[Tracked], gens: Mapping[str, int]) -> Iterator[Task]:
    """Yield the tasks of rows, without those whose call cannot be read any more."""
    for row in rows:
        try:
            yield _task_of(row, gens.get(row.task_id, 0))
        except PackageError as error:
            logger.warning("the task %s is passed over: %s", row.task_id, error)


def _task_of(row: Tracked, gen: int) -> Task:
    """Return the task of a row: its call, and what else the row knows of it.

    Args:
        row: of the task.
        gen: that its ticket has: a package with a lower one is dropped at its claim.
    """
    if row.said is not None:
        try:
            task = _task(row.said)
        except msgspec.DecodeError as error:
            logger.warning("what the task %s said cannot be read, and is left out: %s",
                           row.task_id, error)  # fmt: skip
        else:
            return replace(
                task,
                id=row.task_id,
                queue=row.queue,
                body=to_bytes(row.payload, row.content),
                content=row.content,
                gen=gen,
                relayed=True,  # as below
                options=replace(task.options, track=True),
                needs=(),  # plugins are asked anew
            )
    return Task(
        id=row.task_id,
        name=task_name(row.func, row.task_id),
        func=row.func,
        queue=row.queue,
        created=row.enqueued,
        content=row.content,
        body=to_bytes(row.payload, row.content),
        hook=None if row.backend is None else ANNOUNCE,
        priority=row.priority,
        gen=gen,
        relayed=True,  # there may be another package of it: its end is looked up
        options=Options(
            track=True,
            backend=UNSET if row.backend is None else row.backend,
            takes_context=row.takes_context or UNSET,
        ),
    )
