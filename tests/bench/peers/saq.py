"""SAQ on Redis, ten jobs at a time in each process (its default), results in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import turn as turns
from turn import Turn

REQUIREMENTS = ["saq[redis,hiredis]==0.26.4", "psycopg[binary]", "django>=5.2,<6"]
STORES = ("redis",)
VARIANTS: dict[str, dict[str, Any]] = {"inline": {"inline": True}}
APPS: list[str] = []


def settings(turn: Turn) -> dict[str, Any]:
    return {}


def workers(turn: Turn) -> list[list[str]]:
    return [["saq", "peers.saq.worker_settings", "--workers", str(turn.workers)]]


def _wrap(function: Callable[[int], int], *, inline: bool) -> Any:
    """Return what SAQ calls: in its threads, or in the event loop."""

    def in_thread(ctx: Any, *, task: int) -> int:
        return function(task)

    async def in_loop(ctx: Any, *, task: int) -> int:
        return function(task)

    return in_loop if inline else in_thread


if turns.under_way():
    import django
    import work
    from saq import Queue

    django.setup()
    _turn = turns.current()
    queue = Queue.from_url(_turn.redis)
    _inline = _turn.options.get("inline", False)
    _functions = [(k, _wrap(f, inline=_inline)) for k, f in work.KINDS.items()]
    worker_settings = {"queue": queue, "functions": _functions}
    _loop = asyncio.new_event_loop()


def _run(call: Coroutine[Any, Any, Any]) -> None:
    _loop.run_until_complete(call)


def enqueue(kind: str, task: int) -> None:
    _run(queue.enqueue(kind, task=task))


def enqueue_many(kind: str, tasks: Sequence[int]) -> None:
    """Enqueue many at once on its connections: there is no call for a batch."""

    async def gather() -> None:
        await asyncio.gather(*(queue.enqueue(kind, task=task) for task in tasks))

    _run(gather())


def stored() -> int:
    import redis

    client = redis.Redis.from_url(turns.current().redis)
    keys = list(client.scan_iter("saq:job:*", count=1000))
    found = 0
    for at in range(0, len(keys), 1000):
        values: Any = client.mget(keys[at : at + 1000])
        found += sum(b'"complete"' in (value or b"") for value in values)
    return found
