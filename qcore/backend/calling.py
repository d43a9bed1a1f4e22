"""Calling: how a task of ``django.tasks`` is run, and who is told of it.

Runs in: a worker, and the caller where ``sync`` is set.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..envelope import Task
from ..results.base import Record
from ..results.content import to_text
from ..runtime import current
from ..tasks.tracking import TrackedTask
from .api import (
    TaskContext,
    normalize_json,
    task_backends,
    task_finished,
    task_started,
)
from .backend import QcoreBackend
from .results import result_of
from .signals import tell


def prepared(
    task: Task, function: Callable[..., Any], row: TrackedTask | None
) -> Callable[..., Any]:
    """Return the callable of a task that is about to run, and send the signal of its start.

    Args:
        task: with ``options.backend``.
        function: of the project.
        row: of the task as it runs; None where the ledger could not be asked.
    """
    alias = str(task.options.backend)
    result = result_of(row or _row(task), alias)
    tell(task_started, _kind(alias), result)
    if task.options.takes_context is not True:
        return function
    return functools.partial(function, TaskContext(task_result=result))


def normalised(value: Any) -> Any:
    """Return what a task has returned, as Django has it in a result.

    Raises:
        TypeError, ValueError: it is not for JSON.
    """
    return normalize_json(value)


def announce(finished: Record) -> None:
    """Say that a task has ended for good; the task hook of tasks of ``django.tasks``."""
    tracker = current.tracker
    row = None if tracker is None else tracker.find(finished.id)
    if row is None or row.backend is None or row.finished is None:
        return  # it is going to run again
    tell(task_finished, _kind(row.backend), result_of(row, row.backend))


def _kind(alias: str) -> type:
    """Return the class of a backend; ours, where the settings do not name it any more."""
    try:
        return type(task_backends[alias])
    except Exception:  # noqa: BLE001 - whatever the settings have in its place
        return QcoreBackend


def _row(task: Task) -> TrackedTask:
    """Return what a package says of a task that runs."""
    return TrackedTask(
        task_id=task.id,
        backend=str(task.options.backend),
        func=task.func,
        queue=task.queue,
        priority=task.priority,
        run_after=None,
        takes_context=task.options.takes_context is True,
        content=task.content,
        payload=to_text(task.body, task.content),
        enqueued=task.created,
        state="running",
        started=None,
        attempted=None,
        finished=None,
        workers=[],
        errors=[],
        value_content=None,
        value=None,
    )
