"""django-q2, with the settings of its documentation's ORM example."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

REQUIREMENTS = ["django-q2==1.11.*", "redis", "psycopg[binary]", "django>=5.2,<6"]
APPS = ["django_q"]


def settings(store: str, redis: str) -> dict[str, Any]:
    """Return the settings of a turn. The newest 250 results are kept: its default."""
    broker = {"redis": redis} if store == "redis" else {"orm": "default"}
    cluster = {"name": "bench", "workers": 2, "timeout": 90, "retry": 120, **broker}
    return {"Q_CLUSTER": cluster | {"log_level": "WARNING"}}


def producer() -> Callable[[int], object]:
    """Return what enqueues one task."""
    from django_q.tasks import async_task

    return partial(async_task, "work.noop")


def worker() -> list[str]:
    """Return the arguments of Python that start two workers."""
    return ["-m", "django", "qcluster"]
