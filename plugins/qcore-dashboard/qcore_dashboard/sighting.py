"""Sightings: everything that is known of one task, from wherever it is found."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import router

from qcore.errors import PackageError
from qcore.listing.finished import state_of
from qcore.models import OutboxRow, Task
from qcore.models.tables import RESULTS, kept_elsewhere
from qcore.results.content import to_text
from qcore.runtime import current
from qcore.tasks import fetch
from qcore.tasks.state import State, in_outbox, of_outcome

if TYPE_CHECKING:
    from qcore.envelope import Task as Envelope
    from qcore.results.base import Record
    from qcore.status import WorkerStatus
    from qcore.tasks.tracking import TrackedTask

    from .live import Now

#: States in which something more may happen to a task.
_OPEN = frozenset(
    {
        State.SCHEDULED,
        State.WAITING,
        State.PARKED,
        State.RUNNING,
        State.SUSPENDED,
        State.FAILED,
    }
)


@dataclass(slots=True)
class Sighting:
    """What is known of one task; None is "not known"."""

    id: str
    record: Record | None = None
    """Its stored result."""
    tracked: TrackedTask | None = None
    due: tuple[float | None] | None = None
    """When the outbox sends it, in a tuple: None there is "not known"."""
    place: State | None = None
    """What its row in the outbox says of it."""
    sent: Envelope | None = None
    """Its package in the outbox, verified; None where that cannot be read, too."""
    worker: WorkerStatus | None = None
    """The worker that runs it."""
    running_in: str | None = None
    """The queue of the cluster of that worker."""
    told_at: float = 0.0
    """When that cluster published this status; seconds since the epoch."""

    @property
    def state(self) -> str | None:
        """Return its state, a word of ``State``."""
        if self.tracked is not None and self.tracked.finished is not None:
            return str(of_outcome(self.tracked.state))
        if self.worker is not None:
            return str(State.RUNNING)
        if self.due is not None:
            return str(self._in_outbox())
        if self.record is not None:
            return str(state_of(self.record))
        if self.tracked is not None:
            return str(self._tracked())
        return None

    def _in_outbox(self) -> State:
        if self.place in (State.PARKED, State.SUSPENDED):
            return self.place
        if self.record is not None and not self.record.success:
            return State.FAILED  # and it is tried again
        return self.place or State.WAITING

    def _tracked(self) -> State:
        assert self.tracked is not None
        if self.tracked.state == State.RUNNING:
            return State.RUNNING
        later = self.tracked.run_after
        return State.SCHEDULED if later and later > time.time() else State.WAITING

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it, as far as is known."""
        return self.state is not None and self.state not in _OPEN

    def _first(self, *names: str) -> Any:
        for holder in (self.record, self.worker, self.tracked, self.sent):
            for name in names:
                if found := getattr(holder, name, None):
                    return found
        return None

    @property
    def call(self) -> tuple[str, str] | None:
        """Return its arguments as they are stored, and their serializer."""
        if isinstance(self.record, Task):
            return self.record.payload, self.record.content
        if self.sent is not None:
            return to_text(self.sent.body, self.sent.content), self.sent.content
        return None

    @property
    def func(self) -> str | None:
        found: str | None = self._first("func")
        return found

    @property
    def name(self) -> str | None:
        found: str | None = self._first("name", "task_name")
        return found

    @property
    def queue(self) -> str | None:
        found: str | None = self._first("cluster", "queue")
        return found or self.running_in


def of(task_id: str, now: Now) -> Sighting:
    """Return what is known of a task.

    Raises:
        StoreError, django.db.Error: it cannot be looked up now.
    """
    found = Sighting(task_id, _record(task_id), _tracked(task_id))
    if (row := _row(task_id)) is not None:
        found.due = (row.due,)
        found.place = in_outbox(row.due, row.held_by, row.claimed, time.time())
        with contextlib.suppress(PackageError):  # the list of tasks says what is wrong
            found.sent = current.signer.verify(bytes(row.package), row.queue)
    for cluster in now.clusters or ():
        for worker in cluster.workers:
            if worker.task_id == task_id:
                found.worker, found.running_in = worker, cluster.queue
                found.told_at = cluster.at
    return found


def _record(task_id: str) -> Record | None:
    """Return its result; with one query, where results are in the table."""
    if not kept_elsewhere(RESULTS):
        rows = Task.objects.using(router.db_for_write(Task))
        if (row := rows.filter(pk=task_id).first()) is not None:
            return row
        if not current.conf.cached:
            return None
    record = fetch(task_id)
    return record if record is not None and record.id == task_id else None


def _tracked(task_id: str) -> TrackedTask | None:
    tracker = current.tracker
    return None if tracker is None else tracker.find(task_id)


def _row(task_id: str) -> OutboxRow | None:
    outbox = current.outbox
    if outbox is None or not outbox.is_usable:
        return None
    rows = OutboxRow.objects.using(outbox.database).filter(task_id=task_id)
    return rows.order_by("-gen", "-id").first()
