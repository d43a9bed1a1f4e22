"""Dramatiq on Redis, one thread in each process, results in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import turn as turns

if TYPE_CHECKING:
    from turn import Turn

REQUIREMENTS = ["dramatiq[redis]==2.2.1", "psycopg[binary]", "django>=5.2,<6"]
STORES = ("redis",)
VARIANTS: dict[str, dict[str, Any]] = {
    "no-results": {"results": False},
    "threads8": {"threads": 8},  # its default
    # what makes it find the tasks of a dead worker within seconds
    "reliable": {
        "broker": {"heartbeat_timeout": 10_000, "maintenance_chance": 100_000}
    },
}
APPS: list[str] = []


def settings(turn: Turn) -> dict[str, Any]:
    return {}


def workers(turn: Turn) -> list[list[str]]:
    pool = ["-p", str(turn.workers), "-t", str(turn.options.get("threads", 1))]
    return [["dramatiq", "peers.dramatiq", *pool]]


if turns.under_way():
    import django
    import dramatiq
    import work
    from dramatiq.brokers.redis import RedisBroker

    django.setup()
    _turn = turns.current()
    _keeps = _turn.options.get("results", True)
    broker = RedisBroker(url=_turn.redis, **_turn.options.get("broker", {}))
    if _keeps:
        from dramatiq.results import Results
        from dramatiq.results.backends import RedisBackend

        broker.add_middleware(Results(backend=RedisBackend(url=_turn.redis)))
    dramatiq.set_broker(broker)
    _words = {"store_results": True} if _keeps else {}
    _tasks = {k: dramatiq.actor(task, **_words) for k, task in work.KINDS.items()}


def enqueue(kind: str, task: int) -> None:
    _tasks[kind].send(task)


def stored() -> int:
    import redis

    client = redis.Redis.from_url(_turn.redis)
    digests = "[0-9a-f]" * 32  # it keeps each under the MD5 of its name
    return sum(1 for _ in client.scan_iter(digests, count=1000))
