"""procrastinate with its Django integration, one process for each worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import turn as turns
from turn import Turn

REQUIREMENTS = [
    "procrastinate[django]==3.10.0",
    "psycopg[binary]",
    "django>=5.2,<6",
]
STORES = ("postgres",)
VARIANTS: dict[str, dict[str, Any]] = {
    "concurrency10": {"words": ["-c", "10"]},
    "delete": {"words": ["-c", "1", "--delete-jobs", "always"]},
}
APPS = ["procrastinate.contrib.django"]


def settings(turn: Turn) -> dict[str, Any]:
    return {"PROCRASTINATE_IMPORT_PATHS": ["peers.procrastinate"]}


def workers(turn: Turn) -> list[list[str]]:
    command = ["python", "-m", "django", "procrastinate", "worker"]
    words = turn.options.get("words", ["-c", "1"])
    return [[*command, *words] for _ in range(turn.workers)]


if turns.under_way():
    import work
    from procrastinate.contrib.django import app

    _tasks = {kind: app.task(task, name=kind) for kind, task in work.KINDS.items()}


def enqueue(kind: str, task: int) -> None:
    _tasks[kind].defer(task=task)


def enqueue_many(kind: str, tasks: Sequence[int]) -> None:
    _tasks[kind].batch_defer(*({"task": task} for task in tasks))


def stored() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from procrastinate_jobs where status = 'succeeded'"
        )
        count: int = cursor.fetchone()[0]
        return count


def finish_all() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("update procrastinate_jobs set status = 'succeeded'")
