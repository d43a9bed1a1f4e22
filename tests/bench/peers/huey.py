"""Huey with process workers; it keeps its results in its own storage."""

from __future__ import annotations

from typing import Any

import turn as turns
from turn import Turn

REQUIREMENTS = ["huey==3.5.4", "redis", "psycopg[binary]", "django>=5.2,<6"]
STORES = ("redis", "postgres", "sqlite")
VARIANTS: dict[str, dict[str, Any]] = {"no-results": {"results": False}}
APPS: list[str] = []


def settings(turn: Turn) -> dict[str, Any]:
    return {}


def workers(turn: Turn) -> list[list[str]]:
    processes = ["-w", str(turn.workers), "-k", "process", "-q"]
    return [["huey_consumer", "peers.huey.app", *processes]]


def _make_app() -> Any:
    import huey

    turn = turns.current()
    results = turn.options.get("results", True)
    if turn.store == "redis":
        return huey.RedisHuey("bench", url=turn.redis, results=results)
    if turn.store == "sqlite":
        return huey.SqliteHuey("bench", filename=turn.database["NAME"], results=results)
    return huey.PostgresHuey(
        "bench",
        host=turn.database["HOST"],
        port=turn.database["PORT"],
        user=turn.database["USER"],
        dbname=turn.database["NAME"],
        results=results,
    )


if turns.under_way():
    import django
    import work

    django.setup()
    app = _make_app()
    _tasks = {kind: app.task()(function) for kind, function in work.KINDS.items()}


def enqueue(kind: str, task: int) -> None:
    _tasks[kind](task)


def stored() -> int:
    count: int = app.storage.result_store_size()
    return count
