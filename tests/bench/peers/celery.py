"""Celery with prefork workers on Redis; results in Redis, which is where most keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import turn as turns

if TYPE_CHECKING:
    from turn import Turn

REQUIREMENTS = [
    "celery[redis]==5.7.0",
    "django-celery-results==2.6.0",
    "psycopg[binary]",
    "django>=5.2,<6",
]
STORES = ("redis",)
VARIANTS: dict[str, dict[str, Any]] = {
    "no-results": {"task_ignore_result": True},
    "database": {"result_backend": "django-db"},
    # what its documentation advises where tasks may not be lost
    "reliable": {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "broker_transport_options": {"visibility_timeout": 10},
    },
}
APPS = ["django_celery_results"]


def settings(turn: Turn) -> dict[str, Any]:
    return {}


def workers(turn: Turn) -> list[list[str]]:
    pool = ["-P", "prefork", "-c", str(turn.workers), "-l", "WARNING"]
    return [["celery", "-A", "peers.celery", "worker", *pool]]


if turns.under_way():
    import celery
    import django
    import work

    django.setup()
    _turn = turns.current()
    app = celery.Celery("bench")
    app.conf.update(
        {
            "broker_url": _turn.redis,
            "result_backend": _turn.redis,
            "broker_connection_retry_on_startup": True,
            **_turn.options,
        }
    )
    _tasks = {kind: app.task(task, name=kind) for kind, task in work.KINDS.items()}


def enqueue(kind: str, task: int) -> None:
    _tasks[kind].delay(task)


def stored() -> int:
    if _turn.options.get("result_backend") == "django-db":
        from django_celery_results.models import TaskResult

        count: int = TaskResult.objects.count()
        return count
    import redis

    client = redis.Redis.from_url(_turn.redis)
    return sum(1 for _ in client.scan_iter("celery-task-meta-*", count=1000))
