"""qcore, from this checkout, as its documentation starts it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]
REQUIREMENTS = [
    *("-e", str(_ROOT)),
    *("-e", str(_ROOT / "plugins/qcore-orm")),
    *("-e", str(_ROOT / "plugins/qcore-redis")),
    "psycopg[binary]",
    "django>=5.2,<6",
]
APPS = ["qcore", "qcore_orm"]


def settings(store: str, redis: str) -> dict[str, Any]:
    """Return the settings of a turn; every result is kept, as the peers do."""
    broker = {"redis": redis} if store == "redis" else {"orm": "default"}
    cluster = {"name": "bench", "workers": 2, "save_limit": 0, **broker}
    return {"Q_CLUSTER": cluster}


def producer() -> Callable[[int], object]:
    """Return what enqueues one task."""
    from qcore.tasks import async_task

    return partial(async_task, "work.noop")


def worker() -> list[str]:
    """Return the arguments of Python that start two workers."""
    return ["-m", "qcore", "cluster"]
