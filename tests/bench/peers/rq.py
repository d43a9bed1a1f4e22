"""RQ through django-rq; a worker forks for each task unless it is a SimpleWorker."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turn import Turn

REQUIREMENTS = [
    "rq==2.12.0",
    "django-rq==4.2.0",
    "redis",
    "psycopg[binary]",
    "django>=5.2,<6",
]
STORES = ("redis",)
VARIANTS: dict[str, dict[str, Any]] = {
    # runs tasks in itself, so that one that kills its process kills the worker
    "simple": {"worker": ["--worker-class", "rq.SimpleWorker"]},
}
APPS = ["django_rq"]


def settings(turn: Turn) -> dict[str, Any]:
    return {"RQ_QUEUES": {"default": {"URL": turn.redis, "DEFAULT_TIMEOUT": 360}}}


def workers(turn: Turn) -> list[list[str]]:
    command = ["python", "-m", "django", "rqworker", "default", "-v", "0"]
    words = turn.options.get("worker", [])
    return [[*command, *words] for _ in range(turn.workers)]


@functools.cache
def _queue() -> Any:
    import django_rq

    return django_rq.get_queue("default")


def enqueue(kind: str, task: int) -> None:
    import work

    _queue().enqueue(work.KINDS[kind], task)


def enqueue_many(kind: str, tasks: Sequence[int]) -> None:
    import work
    from rq import Queue

    jobs = [Queue.prepare_data(work.KINDS[kind], (task,)) for task in tasks]
    _queue().enqueue_many(jobs)


def stored() -> int:
    count: int = _queue().finished_job_registry.count
    return count
