"""django-q2, with the times of its documentation's ORM example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turn import Turn

REQUIREMENTS = ["django-q2==1.11.1", "redis", "psycopg[binary]", "django>=5.2,<6"]
STORES = ("redis", "postgres", "sqlite")
VARIANTS: dict[str, dict[str, Any]] = {
    "connage0": {"conn_max_age": 0},
    "no-results": {"save_limit": -1},
    # without the new process after each 500 tasks, and with batches
    "tuned": {"recycle": 1_000_000, "bulk": 10, "queue_limit": 50},
}
APPS = ["django_q"]


def settings(turn: Turn) -> dict[str, Any]:
    """Return the settings of a turn. The newest 250 results are kept: its default."""
    broker = {"redis": turn.redis} if turn.store == "redis" else {"orm": "default"}
    times = {"timeout": 90, "retry": 120}
    own = {k: v for k, v in turn.options.items() if k != "conn_max_age"}
    cluster = {"name": "bench", "workers": turn.workers, **times, **broker, **own}
    return {"Q_CLUSTER": cluster | {"log_level": "WARNING"}}


def workers(turn: Turn) -> list[list[str]]:
    return [["python", "-m", "django", "qcluster"]]


def enqueue(kind: str, task: int) -> None:
    from django_q.tasks import async_task

    async_task(f"work.{kind}", task)


def stored() -> int:
    from django_q.models import Task

    return Task.objects.count()
