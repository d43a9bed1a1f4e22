"""Results: a tracked task as the TaskResult of Django."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from django.conf import settings

from ..envelope import Outcome
from ..errors import QcoreError
from ..results import content as contents
from ..runtime import current
from ..tasks.functions import resolve
from ..tasks.tracking import TrackedTask
from .api import InvalidTask, Task, TaskError, TaskResultStatus
from .task_result import QcoreTaskResult

_STATUS = {
    "waiting": TaskResultStatus.READY,
    "running": TaskResultStatus.RUNNING,
    str(Outcome.SUCCESS): TaskResultStatus.SUCCESSFUL,
}


def moment(seconds: float | None) -> dt.datetime | None:
    """Return a moment as the project has them: aware where USE_TZ is set."""
    if seconds is None:
        return None
    zone = dt.UTC if settings.USE_TZ else None
    return dt.datetime.fromtimestamp(seconds, zone)


def result_of(row: TrackedTask, alias: str) -> Any:
    """Return the result of a tracked task.

    Raises:
        InvalidTask: its function cannot be had in this process.
        StoreError: its arguments or its value cannot be read here.
    """
    accept = current.conf.accept_content
    call = contents.load_call(row.payload, row.content, accept)
    status = _STATUS.get(row.state, TaskResultStatus.FAILED)
    result = QcoreTaskResult(
        task=task_of(row, alias),
        id=row.task_id,
        status=status,
        enqueued_at=moment(row.enqueued),
        started_at=moment(row.started),
        last_attempted_at=moment(row.attempted),
        finished_at=moment(row.finished),
        args=call[0],
        kwargs=call[1],
        backend=alias,
        errors=[TaskError(exception_class_path=one.path, traceback=one.traceback)
                for one in row.errors],
        worker_ids=row.workers,
    )  # fmt: skip
    if status == TaskResultStatus.SUCCESSFUL and row.value is not None:
        value = contents.load(row.value, row.value_content or contents.TEXT, accept)
        object.__setattr__(result, "_return_value", value)
    return result


def task_of(row: TrackedTask, alias: str) -> Any:
    """Return the Task of a tracked task, with what was said when it was enqueued.

    It is not validated: what was enqueued can be looked at, though the settings may not
    allow its queue any more.

    Raises:
        InvalidTask: its function cannot be had in this process.
    """
    try:
        function = resolve(row.func)
    except Exception as error:
        told = error if isinstance(error, QcoreError) else type(error).__name__
        raise InvalidTask(
            f"the task {row.task_id} is one of {row.func!r}, which cannot be imported"
            f" here: {told}"
        ) from error
    said = {
        "func": function,
        "priority": row.priority,
        "backend": alias,
        "queue_name": row.queue,
        "run_after": moment(row.run_after),
        "takes_context": row.takes_context,
    }
    task = object.__new__(Task)
    for field in dataclasses.fields(Task):
        object.__setattr__(task, field.name, said.get(field.name, field.default))
    return task
