"""streaQ on Redis streams, 16 tasks at a time in each process (its default)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import turn as turns
from turn import Turn

REQUIREMENTS = ["streaq==7.2.0", "redis", "psycopg[binary]", "django>=5.2,<6"]
STORES = ("redis",)
VARIANTS: dict[str, dict[str, Any]] = {
    "inline": {"inline": True},
    # for kills: else 16 tasks at a time run at once, and none waits
    "one": {"worker": {"concurrency": 1}},
}
APPS: list[str] = []


def settings(turn: Turn) -> dict[str, Any]:
    return {}


def workers(turn: Turn) -> list[list[str]]:
    return [["streaq", "run", "peers.streaq:worker", "-w", str(turn.workers)]]


def _wrap(function: Callable[[int], int], *, inline: bool) -> Any:
    """Return what streaQ calls: in its threads, or in the event loop."""

    def in_thread(task: int) -> int:
        return function(task)

    async def in_loop(task: int) -> int:
        return function(task)

    return in_loop if inline else in_thread


if turns.under_way():
    import django
    import work
    from streaq import Worker

    django.setup()
    _turn = turns.current()
    worker: Any = Worker(redis_url=_turn.redis, **_turn.options.get("worker", {}))
    _inline = _turn.options.get("inline", False)
    # silent: no line in the log for each task, as for the other peers
    _tasks = {
        kind: worker.task(name=kind, silent=True)(_wrap(function, inline=_inline))
        for kind, function in work.KINDS.items()
    }


class _Loop:
    """An event loop with one task in it that holds the worker's connection open."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        ready = asyncio.Event()

        async def hold() -> None:
            async with worker:
                ready.set()
                await asyncio.Event().wait()

        self._holder = self._loop.create_task(hold())
        self._loop.run_until_complete(asyncio.wait_for(ready.wait(), 10))

    def run(self, make: Callable[[], Awaitable[Any]]) -> None:
        self._loop.run_until_complete(make())


_open: list[_Loop] = []


def _run(make: Callable[[], Awaitable[Any]]) -> None:
    if not _open:
        _open.append(_Loop())
    _open[0].run(make)


def enqueue(kind: str, task: int) -> None:
    async def one() -> None:
        await _tasks[kind].enqueue(task)

    _run(one)


def enqueue_many(kind: str, tasks: Sequence[int]) -> None:
    async def many() -> None:
        await worker.enqueue_many([_tasks[kind].enqueue(task) for task in tasks])

    _run(many)


def stored() -> int:
    import redis

    client = redis.Redis.from_url(turns.current().redis)
    return sum(1 for _ in client.scan_iter("*:results:*", count=1000))
