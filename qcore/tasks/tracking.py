"""Tracked tasks, as senders, workers and those who ask see them; see ``ledger.tracked``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..envelope import Outcome, Result, Task
from ..errors import (
    BrokerError,
    BrokerUnavailable,
    EnqueueError,
    StoreError,
    StoreUnavailable,
)
from ..runtime import current

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..runtime import TrackerLike

logger = logging.getLogger("qcore.tracking")


class Entry(NamedTuple):
    """A task that is to be tracked, with what its package does not say."""

    task: Task
    queue: str  # as the caller has named it
    run_after: float | None = None  # seconds since the epoch


class TrackedAs(NamedTuple):
    """What the caller said of a task, where its package says it otherwise or not."""

    queue: str
    run_after: float | None  # seconds since the epoch


class ErrorRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The error of one attempt."""

    moment: float  # when the attempt had ended, seconds since the epoch
    path: str  # dotted path of the class of the exception
    traceback: str


class TrackedTask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tracked task, as the ledger has it; times are seconds since the epoch."""

    task_id: str
    backend: str | None
    func: str
    queue: str
    priority: int
    run_after: float | None
    takes_context: bool
    content: str
    payload: str
    enqueued: float
    state: str  # "waiting", "running", or one of ``envelope.Outcome``
    started: float | None
    attempted: float | None
    finished: float | None
    workers: list[str]
    errors: list[ErrorRow]
    value_content: str | None
    value: str | None
    said: str | None = None


def is_tracked(task: Task) -> bool:
    """Whether a task can be found from its enqueueing on."""
    return task.options.track is True


# -- the sender ------------------------------------------------------------------------
def note_of(
    tasks: Sequence[Task], delay: float, said: TrackedAs | None = None
) -> Note | None:
    """Return what writes these tasks down when they are sent; None: they are not tracked.

    Args:
        tasks: all of one call, with the same options.
        delay: seconds before they may run.
        said: what the caller said; None means what the tasks and the delay say.

    Raises:
        EnqueueError: they are to be tracked, and the project has nothing to do it with.
    """
    if tasks[0].options.track is not True:
        return None
    tracker = current.tracker
    if tracker is None:
        raise EnqueueError(
            f"cannot send {tasks[0].func} as a tracked task: tracked tasks are kept in a"
            " database. Add 'qcore' to INSTALLED_APPS, with results in SQLite, PostgreSQL,"
            " MariaDB or MySQL (or Q_CLUSTER['ledger'] naming such a database), and run:"
            " python manage.py migrate"
        )
    if said is None:
        said = TrackedAs(tasks[0].queue, tasks[0].created + delay if delay else None)
    return Note(tracker, tasks, said)


class Note:
    """Tracked tasks of one call, which are written down together with their sending.

    Args:
        tracker: of this thread.
        tasks: all of one queue.
        said: what the caller said of them.
    """

    def __init__(
        self, tracker: TrackerLike, tasks: Sequence[Task], said: TrackedAs
    ) -> None:
        self._tracker = tracker
        self._tasks = tasks
        self._entries = [Entry(task, *said) for task in tasks]

    def with_send(self, broker: Broker, send: Callable[[], None]) -> None:
        """Write the tasks down, then send them: in one transaction, where that can be.

        Inside of a transaction that the broker has no part in (``commit="now"``), only the
        worker can write them down: what is written here would be seen after the commit.

        Raises:
            BrokerError: as ``send``; what is not stored is not tracked either.
            EnqueueError: the database does not take them.
        """
        if broker.database == self._tracker.database:
            self.with_rows(send)
        elif self._tracker.is_in_transaction:
            send()
        else:
            self._write()
            try:
                send()
            except BrokerError as error:
                self._forget(self._tasks[error.stored + error.unsure :])
                raise
            except BaseException:
                self._forget(self._tasks)
                raise

    def with_rows(self, write: Callable[[], None]) -> None:
        """Write the tasks down together with rows of the same database.

        Raises:
            BrokerUnavailable: the database does not answer.
            EnqueueError: the database does not take them.
        """
        if self._tracker.is_in_transaction:
            self._write()
            write()
            return
        from django.db import transaction

        with transaction.atomic(self._tracker.database):
            self._write()
            write()

    def _write(self) -> None:
        try:
            self._tracker.write(self._entries)
        except StoreError as error:
            passing = isinstance(error, StoreUnavailable)
            raise (BrokerUnavailable if passing else EnqueueError)(
                f"cannot send {self._tasks[0].func}: {error}"
            ) from error

    def _forget(self, tasks: Sequence[Task]) -> None:
        try:
            self._tracker.delete([task.id for task in tasks])
        except StoreError as error:
            logger.warning(
                "%d tasks were not sent and stay as waiting: %s", len(tasks), error
            )


# -- the worker ------------------------------------------------------------------------
def begin(task: Task, worker: str, moment: float) -> TrackedTask | None:
    """Note that an attempt at a tracked task begins.

    If the database does not take that now, the task runs all the same: its end is noted,
    too, and until then only the view is old.

    Args:
        task: that is about to run.
        worker: who runs it, as "host:pid".
        moment: seconds since the epoch.

    Returns:
        The task as it is now, for tasks of ``django.tasks``; None where that is not known.
    """
    tracker = current.tracker
    if tracker is None:
        logger.warning("%s id=%s is not tracked here: no tables", task.func, task.id)
        return None
    try:
        return tracker.begin(task, worker, moment)
    except StoreError as error:
        logger.warning("%s id=%s runs unseen: %s", task.func, task.id, error)
        return None


def end_inline(result: Result) -> None:
    """Note the end of a task that has run in its caller.

    Raises:
        StoreError: the database does not take it.
    """
    if is_tracked(result.task) and (tracker := current.tracker) is not None:
        tracker.end([result])


# -- errors ----------------------------------------------------------------------------
#: How a task can end without an exception of its own -> the class that says so.
_OF_OUTCOME: dict[str, str] = {
    Outcome.TIMEOUT: "qcore.errors.TaskTimeout",
    Outcome.CRASH: "qcore.errors.WorkerDied",
    Outcome.CANCELLED: "qcore.errors.TaskCancelled",
    Outcome.EXPIRED: "qcore.errors.TaskExpired",
}
_TRACES = (
    "\n\nTraceback (most recent call last):",
    "\n\n  + Exception Group Traceback",
)


def error_row(result: Result) -> ErrorRow:
    """Return the error of a failed attempt."""
    text = result.value.decode(errors="replace")
    starts = [place for mark in _TRACES if (place := text.find(mark)) >= 0]
    path = result.error or _OF_OUTCOME.get(result.outcome, "qcore.errors.TaskError")
    trace = text[min(starts) + 2 :] if starts else text
    return ErrorRow(result.stopped, path, trace)


def path_of_class(error: BaseException) -> str:
    """Return the dotted path of the class of an exception; of ``sys.exit``, its own."""
    if isinstance(error.__cause__, SystemExit):
        error = error.__cause__
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"
