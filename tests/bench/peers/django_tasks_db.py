"""django-tasks with its database backend, one ``db_worker`` for each worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import turn as turns

if TYPE_CHECKING:
    from turn import Turn

REQUIREMENTS = [
    "django-tasks-db==0.13.0",
    "django-tasks==0.12.0",
    "psycopg[binary]",
    "django>=5.2,<6",
]
STORES = ("postgres", "sqlite")
VARIANTS: dict[str, dict[str, Any]] = {"connage0": {"conn_max_age": 0}}
APPS = ["django_tasks", "django_tasks_db"]


def settings(turn: Turn) -> dict[str, Any]:
    backend = {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}
    return {"TASKS": {"default": backend}}


def workers(turn: Turn) -> list[list[str]]:
    command = ["python", "-m", "django", "db_worker", "-v", "0"]
    return [command for _ in range(turn.workers)]


if turns.under_way():
    from django_tasks import task as _decorate

    from peers._declare import declare

    _tasks = declare(__name__, _decorate())


def enqueue(kind: str, task: int) -> None:
    _tasks[kind].enqueue(task)


def stored() -> int:
    from django_tasks_db.models import DBTaskResult

    count: int = DBTaskResult.objects.finished().count()
    return count


def finish_all() -> None:
    from django.db.models import F
    from django_tasks_db.models import DBTaskResult

    at = F("enqueued_at")
    DBTaskResult.objects.update(status="SUCCESSFUL", started_at=at, finished_at=at)
