"""The API of tasks that this project has: Django's own, or that of the package django-tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # the stubs that type checkers have may be of a Django without tasks
    BaseTaskBackend: Any
    Dummy: Any
    Immediate: Any
    InvalidTask: Any
    InvalidTaskBackend: Any
    Task: Any
    TaskContext: Any
    TaskError: Any
    TaskResult: Any
    TaskResultDoesNotExist: Any
    TaskResultMismatch: Any
    TaskResultStatus: Any
    normalize_json: Any
    task: Any
    task_backends: Any
    task_enqueued: Any
    task_finished: Any
    task_started: Any
else:
    try:
        from django.tasks import (
            TaskContext,
            TaskResult,
            TaskResultStatus,
            task,
            task_backends,
        )
        from django.tasks.backends.base import BaseTaskBackend
        from django.tasks.backends.dummy import DummyBackend as Dummy
        from django.tasks.backends.immediate import ImmediateBackend as Immediate
        from django.tasks.base import Task, TaskError
        from django.tasks.exceptions import (
            InvalidTask,
            InvalidTaskBackend,
            TaskResultDoesNotExist,
            TaskResultMismatch,
        )
        from django.tasks.signals import task_enqueued, task_finished, task_started
        from django.utils.json import normalize_json
    except ModuleNotFoundError as absent:
        try:
            from django_tasks import (
                TaskContext,
                TaskResult,
                TaskResultStatus,
                task,
                task_backends,
            )
            from django_tasks.backends.base import BaseTaskBackend
            from django_tasks.backends.dummy import DummyBackend as Dummy
            from django_tasks.backends.immediate import ImmediateBackend as Immediate
            from django_tasks.base import Task, TaskError
            from django_tasks.exceptions import (
                InvalidTaskBackendError as InvalidTaskBackend,
            )
            from django_tasks.exceptions import InvalidTaskError as InvalidTask
            from django_tasks.exceptions import (
                TaskResultDoesNotExist,
                TaskResultMismatch,
            )
            from django_tasks.signals import task_enqueued, task_finished, task_started
            from django_tasks.utils import normalize_json
        except ModuleNotFoundError:
            import django

            raise ImportError(
                "qcore.backend needs django.tasks, which came with Django 6.0; this is"
                f" Django {django.get_version()}. Upgrade Django, or run:"
                " pip install django-tasks"
            ) from absent

__all__ = [
    "BaseTaskBackend",
    "Dummy",
    "Immediate",
    "InvalidTask",
    "InvalidTaskBackend",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultMismatch",
    "TaskResultStatus",
    "normalize_json",
    "task",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
]
