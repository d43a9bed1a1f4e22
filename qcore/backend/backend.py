"""The backend: what Django's ``task.enqueue`` and ``task.get_result`` ask for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from django.core import checks
from django.utils import timezone

from ..conf.names import queue_fault
from ..errors import QcoreError
from ..runtime import current
from ..tasks.build import Builder
from ..tasks.functions import loaded
from ..tasks.inline import run_one
from ..tasks.naming import is_double
from ..tasks.options import OPTIONS, check_options
from ..tasks.sending import send
from ..tasks.tracking import TrackedAs, note_of
from ..tasks.unwrap import options_of, unwrap
from ..tasks.waiting import is_possible
from .api import (
    BaseTaskBackend,
    InvalidTask,
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    TaskResultStatus,
    normalize_json,
    task_enqueued,
)
from .results import moment, result_of
from .signals import tell
from .task_result import QcoreTaskResult

#: Options of ``async_task`` that Django has words of its own for, or that make no sense.
NOT_HERE = frozenset(
    {
        *("broker", "cluster", "queue", "delay", "run_after", "priority", "track"),
        *("task_name", "hook", "sync", "typed"),
    }
)

#: Django's name for the queue of a task that names none.
DEFAULT = "default"


def checked_options(alias: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the OPTIONS of a backend, checked.

    Raises:
        InvalidTaskBackend: one of them is unknown, wrong, or for a single task.
    """
    options, where = params.get("OPTIONS", {}), f"TASKS[{alias!r}]['OPTIONS']"
    if not isinstance(options, dict):
        raise InvalidTaskBackend(f"{where} is no dictionary of options.")
    if wrong := sorted(map(str, options.keys() & NOT_HERE)):
        raise InvalidTaskBackend(
            f"{where} has {wrong[0]!r}, which is for a single task. Allowed are:"
            f" {', '.join(sorted(OPTIONS - NOT_HERE))}."
        )
    try:
        return check_options(options)
    except QcoreError as error:
        raise InvalidTaskBackend(f"{where}: {error}") from error


def with_moment(task: Any) -> Any:
    """Return a task to validate: the moment in the place of a timedelta.

    Django's documentation promises both for ``run_after``, and Django's validation knows
    the moment only.
    """
    if not isinstance(task.run_after, dt.timedelta):
        return task
    names = ("func", "priority", "queue_name", "takes_context")
    said = {name: getattr(task, name) for name in names}
    return SimpleNamespace(**said, run_after=timezone.now() + task.run_after)


class QcoreBackend(BaseTaskBackend):  # type: ignore[misc]
    """Sends the tasks of ``django.tasks`` through the broker that Q_CLUSTER selects.

    ``QUEUES`` are queues of clusters; ``"default"`` is the project's own queue, unless the
    settings have a cluster of that name. ``OPTIONS`` takes the options of ``async_task``
    that are about how a task runs, such as ``max_attempts`` (here 1 unless Q_CLUSTER or
    OPTIONS sets it), ``timeout`` and ``commit``.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.options = checked_options(alias, params)

    @property
    def supports_priority(self) -> bool:
        """Whether the broker in use hands tasks out by their priority.

        While Django loads its apps, brokers cannot be asked, and any priority passes; it is
        looked at again when the task is enqueued.
        """
        if not apps.ready:
            return True
        kind = current.choice("broker").load()
        return bool(current.conf.bands or kind.supports_priority)

    def validate_task(self, task: Any) -> None:
        """Refuse a task that cannot be sent as it is.

        Raises:
            InvalidTask: with the reason.
        """
        super().validate_task(with_moment(task))

    # -- enqueueing ----------------------------------------------------------------
    def enqueue(self, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Send a task, and return what can be asked of it from now on.

        Raises:
            InvalidTask: the task cannot be sent as it is.
            TypeError: an argument is not for JSON.
            EnqueueError: the arguments do not fit the function, or are too large.
            BrokerError: the queue failed.
        """
        self.validate_task(task)
        self._check_path(task)
        args, kwargs = normalize_json(args), normalize_json(kwargs)
        queue = self._queue(task.queue_name)
        declared = {k: v for k, v in options_of(task).items() if k not in NOT_HERE}
        own = {**self._options(), **declared, "cluster": queue}
        builder = Builder(task.module_path, own)
        built = builder.task(
            args,
            kwargs,
            backend=self.alias,
            takes_context=task.takes_context,
            priority=task.priority,
        )
        after = _seconds(task.run_after, built.created)
        said = TrackedAs(task.queue_name, after)
        if after is not None:
            task = _with_run_after(task, moment(after))
        if current.conf.sync:
            return self._run_here(built, said)
        skipped = send(
            [built],
            delay=max(0.0, after - built.created) if after is not None else 0,
            commit=builder.options.get("commit"),
            call="task.enqueue",
            variant="task.aenqueue",
            tracked=said,
        )
        if built.id in skipped:  # a plugin has another task in its place
            return self.get_result(skipped[built.id])
        result = QcoreTaskResult(
            task=task,
            id=built.id,
            status=TaskResultStatus.READY,
            enqueued_at=moment(built.created),
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        tell(task_enqueued, type(self), result)
        return result

    def _options(self) -> dict[str, Any]:
        if "max_attempts" in self.options or "max_attempts" in current.conf.explicit:
            return self.options
        return {**self.options, "max_attempts": 1}

    def _queue(self, name: str) -> str:
        conf = current.conf
        return conf.queue if name == DEFAULT and DEFAULT not in conf.queues else name

    def _check_path(self, task: Any) -> None:
        """Refuse a task whose path leads to something else: a worker gets only the path."""
        found = loaded(task.module_path)
        if found is None or unwrap(found) is task.func or is_double(found):
            return
        raise InvalidTask(
            f"a worker gets only the path {task.module_path!r}, and it leads to another"
            f" {type(found).__name__} than the task. Give the task the name of its function."
        )

    def _run_here(self, built: Any, said: TrackedAs) -> Any:
        """Run a task in the caller: Q_CLUSTER['sync'] is set."""
        note = note_of([built], 0, said)
        assert note is not None
        note.with_rows(lambda: None)
        tell(task_enqueued, type(self), self.get_result(built.id))
        error = run_one(built)
        if isinstance(error, KeyboardInterrupt):
            raise error  # somebody wants the caller to end
        return self.get_result(built.id)

    # -- results -------------------------------------------------------------------
    def get_result(self, result_id: object) -> Any:
        """Return what is known of a task.

        Raises:
            TaskResultDoesNotExist: no task of this id was enqueued here, or its result
                was deleted for its age.
            InvalidTask: its function is not in this process.
            StoreError: the database cannot be asked.
        """
        row = None
        if (
            isinstance(result_id, str)
            and len(result_id) <= 32
            and is_possible(result_id, "the id of a result")
        ):
            tracker = current.tracker
            row = None if tracker is None else tracker.find(result_id)
        if row is None or row.backend != self.alias:
            raise TaskResultDoesNotExist(result_id)
        return result_of(row, self.alias)

    # -- checks --------------------------------------------------------------------
    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Return what is wrong with the settings of this backend."""
        found: list[checks.CheckMessage] = []
        where = f"TASKS[{self.alias!r}]"
        if not apps.is_installed("qcore"):
            return [
                checks.Error(
                    f"{where} uses {type(self).__name__}, and 'qcore' is not in"
                    " INSTALLED_APPS.",
                    hint="Add 'qcore' to INSTALLED_APPS, and run: python manage.py migrate",
                    id="qcore.E020",
                )
            ]
        try:
            tracker = current.tracker
            for name in sorted(self.queues, key=str):
                if fault := queue_fault(name):
                    found.append(
                        checks.Error(
                            f"{where}['QUEUES']: {name!r} {fault}", id="qcore.E021"
                        )
                    )
                elif doubt := current.doubt_of(self._queue(name)):
                    found.append(
                        checks.Info(f"{where}['QUEUES']: {doubt}", id="qcore.I020")
                    )
        except QcoreError:
            return found  # the checks of Q_CLUSTER tell it
        if tracker is None:
            found.append(
                checks.Error(
                    f"{where}: results can be found in a table of SQLite, PostgreSQL,"
                    " MariaDB or MySQL, and the database of qcore is of another kind.",
                    hint="Set Q_CLUSTER['ledger'] to the alias of such a database.",
                    id="qcore.E022",
                )
            )
        return found


def _seconds(after: dt.datetime | dt.timedelta | None, now: float) -> float | None:
    """Return when a task may run, in seconds since the epoch."""
    if after is None:
        return None
    if isinstance(after, dt.timedelta):
        return now + after.total_seconds()
    return after.timestamp()


def _with_run_after(task: Any, after: dt.datetime | None) -> Any:
    """Return a task with the moment for a timedelta."""
    return task.using(run_after=after) if task.run_after != after else task
