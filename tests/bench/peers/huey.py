"""Huey 3 with process workers; it keeps its results in its own storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

REQUIREMENTS = ["huey==3.*", "redis", "psycopg[binary]", "django>=5.2,<6"]
APPS: list[str] = []


def settings(store: str, redis: str) -> dict[str, Any]:
    """Return the settings of a turn."""
    return {"BENCH_HUEY": (store, redis)}


def producer() -> Callable[[int], object]:
    """Return what enqueues one task."""
    from peers.huey_app import noop

    enqueue: Callable[[int], object] = noop
    return enqueue


def worker() -> list[str]:
    """Return the arguments of Python that start two workers."""
    start = "from huey.bin.huey_consumer import consumer_main; consumer_main()"
    return ["-c", start, "peers.huey_app.app", "-w", "2", "-k", "process", "-q"]
