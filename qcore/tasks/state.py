"""The state of a task: where it is between its enqueueing and its end, as far as is known."""

from __future__ import annotations

import time
from enum import StrEnum

from ..clock import Clock
from ..envelope import Outcome
from ..errors import QcoreError
from ..plugins.provider import Provider
from ..runtime import current
from ..settled import is_suspended
from .ended import is_over
from .loops import refuse_in_loop
from .task_ids import require_id
from .waiting import chosen_store


class State(StrEnum):
    """What ``status`` returns; each is a text, too."""

    SCHEDULED = "scheduled"  # it may not run yet
    WAITING = (
        "waiting"  # it may run, and no worker has begun it; also between two attempts
    )
    PARKED = "parked"  # in the outbox until a plugin wakes it
    RUNNING = "running"
    SUSPENDED = "suspended"  # it has begun, and waits outside of a worker
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # its last attempt failed, and it may be tried again
    DEAD = "dead"  # it failed for good
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DISCARDED = "discarded"
    REPLACED = "replaced"
    LOST = "lost"


#: Words of the ledger -> states. Other outcomes have the same word here.
_STATES = {
    str(Outcome.SUCCESS): State.SUCCEEDED,
    str(Outcome.FAILURE): State.DEAD,
    str(Outcome.TIMEOUT): State.DEAD,
    str(Outcome.CRASH): State.DEAD,
}

#: Of a higher layer than this one.
_LEDGER_STATE = Provider("state of a task", "qcore.ledger.task_state:state_of")


def status(task_id: str) -> State | None:
    """Return where a task is, or how it has ended.

    Of a tracked task (``track=True``, and every task of ``django.tasks``) that is always
    known, until its record is deleted for its age. Of another task it is known once a result
    is stored, while it is in the outbox, and while a cluster says that it runs it.

    Args:
        task_id: its id; a name will not do.

    Returns:
        One of ``State``, each of which is a text; None where nobody can know.

    Raises:
        CallError: the id is none, such as a name, or an event loop would wait: see
            ``astatus``.
        StoreError: a database or a cache cannot be asked.
    """
    refuse_in_loop("status", "astatus")
    require_id(task_id, "status")
    tracker = current.tracker
    row = None if tracker is None else tracker.find(task_id)
    if row is None:
        return _untracked(task_id)
    if row.finished is not None:
        return of_outcome(row.state)
    if row.state == State.RUNNING:
        return State.RUNNING
    place = _place(task_id)
    if place in (State.PARKED, State.SUSPENDED):
        return place
    later = row.run_after is not None and row.run_after > time.time() + Clock.offset
    return State.SCHEDULED if later else State.WAITING


def in_outbox(
    due: float | None, held_by: str | None, claimed: float | None, now: float
) -> State:
    """Return the state of a task whose package is a row of the outbox.

    Args:
        due: when the row is sent, in seconds since the epoch; None: it is not known.
        held_by: the plugin that holds the row; or who sends it, where it is ``claimed``.
        claimed: when somebody has begun to send it; None: nobody has.
        now: by the clock of that database, as ``due``.
    """
    if claimed is None and is_suspended(held_by):
        return State.SUSPENDED
    # by a plugin; it is due where it expires, or where it was cancelled
    if due is None or (held_by is not None and claimed is None):
        return State.PARKED
    # a row that is being sent is due later: when its sender would have to be taken for dead
    return State.SCHEDULED if due > now and held_by is None else State.WAITING


def of_outcome(outcome: str) -> State:
    """Return the state of a task that has ended so, for good."""
    return _STATES.get(outcome) or State(outcome)


def _untracked(task_id: str) -> State | None:
    record = chosen_store(None, "status").fetch(task_id)
    if record is not None and record.id == task_id:
        if record.success:
            return State.SUCCEEDED
        if record.outcome not in _STATES:
            return of_outcome(record.outcome)  # it never ran, and never will
        return State.DEAD if is_over(record) else State.FAILED
    return place_of(task_id)


def place_of(task_id: str) -> State | None:
    """Return where a task is that has not ended, by the ledger and by the clusters.

    Raises:
        StoreError: the database cannot be asked.
    """
    return _place(task_id) or _running(task_id)


def _place(task_id: str) -> State | None:
    """Return where the ledger has a task, if it has."""
    if current.outbox is None:
        return None
    place: str | None = _LEDGER_STATE.load()(current.conf, task_id)
    return None if place is None else State(place)


def _running(task_id: str) -> State | None:
    """Return whether a cluster says that one of its workers has a task."""
    from .. import status as clusters

    try:
        workers = [w for snapshot in clusters.running() for w in snapshot.workers]
    except QcoreError:
        return None  # a state that cannot be told is not one
    found = any(worker.task_id == task_id for worker in workers)
    return State.RUNNING if found else None
