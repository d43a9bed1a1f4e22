"""django-ox, which runs the tasks of Django 6; one process for each worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import turn as turns

if TYPE_CHECKING:
    from turn import Turn

PYTHON = "3.12"
REQUIREMENTS = ["django-ox==1.9.1", "psycopg[binary]", "django>=6"]
STORES = ("postgres", "sqlite")
VARIANTS: dict[str, dict[str, Any]] = {
    "connage0": {"conn_max_age": 0},
    # threads besides the processes and a shorter poll: what its documentation has
    "fast": {"words": ["--concurrency", "4", "--interval", "0.1"]},
}
APPS = ["django_ox"]


def settings(turn: Turn) -> dict[str, Any]:
    backend = {"BACKEND": "django_ox.backend.OxBackend", "QUEUES": []}
    return {"TASKS": {"default": backend}}


def workers(turn: Turn) -> list[list[str]]:
    command = ["python", "-m", "django", "ox_worker", "-v", "0"]
    processes = ["--processes", str(turn.workers)]
    return [[*command, *processes, *turn.options.get("words", [])]]


if turns.under_way():
    from django.tasks import task as _decorate

    from peers._declare import declare

    _tasks = declare(__name__, _decorate())


def enqueue(kind: str, task: int) -> None:
    _tasks[kind].enqueue(task)


def enqueue_many(kind: str, tasks: Sequence[int]) -> None:
    from django_ox.bulk import enqueue_many as enqueue_calls

    enqueue_calls(_tasks[kind], [((task,), {}) for task in tasks])


def stored() -> int:
    from django_ox.models import OxTask

    count: int = OxTask.objects.filter(status="SUCCESSFUL").count()
    return count
