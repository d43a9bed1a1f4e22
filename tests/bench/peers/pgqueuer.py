"""PgQueuer on asyncpg, one ``pgq run`` for each worker.

It stores no results, only a row for the status of each finished job. The task runs in
a thread, as its error message advises for what is no coroutine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import turn as turns
from turn import Turn

REQUIREMENTS = [
    "pgqueuer==1.6.0",
    "typer<0.20",  # its command line fails with later ones
    "asyncpg==0.32.0",
    "psycopg[binary]",
    "django>=5.2,<6",
]
STORES = ("postgres",)
VARIANTS: dict[str, dict[str, Any]] = {
    "batch100": {"words": ["--batch-size", "100"]},
    # the body in the event loop: the fastest, and it blocks heartbeats
    "inline100": {"words": ["--batch-size", "100"], "inline": True},
    # without a limit one worker claims the whole queue
    "at-most-20": {"words": ["--max-concurrent-tasks", "20"]},
}
APPS: list[str] = []


def settings(turn: Turn) -> dict[str, Any]:
    return {}


def workers(turn: Turn) -> list[list[str]]:
    command = ["pgq", "run", "peers.pgqueuer:factory", "--log-level", "WARNING"]
    return [[*command, *turn.options.get("words", [])] for _ in range(turn.workers)]


async def _driver() -> Any:
    import asyncpg
    from pgqueuer.db import AsyncpgDriver

    return AsyncpgDriver(await asyncpg.connect(turns.current().dsn))


@contextlib.asynccontextmanager
async def factory() -> AsyncIterator[Any]:
    """Make what ``pgq run`` runs."""
    import django
    import work
    from pgqueuer import PgQueuer

    django.setup()
    app = PgQueuer(await _driver())
    for kind, function in work.KINDS.items():
        _register(app, kind, function)
    yield app


def _register(app: Any, kind: str, function: Any) -> None:
    inline = turns.current().options.get("inline", False)

    @app.entrypoint(kind)
    async def run(job: Any) -> None:
        if inline:
            function(int(job.payload))
        else:
            await asyncio.to_thread(function, int(job.payload))


@functools.cache
def _queries() -> Any:
    import psycopg
    from pgqueuer.db import SyncPsycopgDriver
    from pgqueuer.queries import SyncQueries

    connection = psycopg.connect(turns.current().dsn, autocommit=True)
    return SyncQueries(SyncPsycopgDriver(connection))


def setup() -> None:
    """Make its tables."""

    async def install() -> None:
        from pgqueuer.queries import Queries

        await Queries(await _driver()).install()

    asyncio.run(install())


def enqueue(kind: str, task: int) -> None:
    _queries().enqueue(kind, b"%d" % task)


def enqueue_many(kind: str, tasks: Sequence[int]) -> None:
    payloads = [b"%d" % task for task in tasks]
    _queries().enqueue([kind] * len(payloads), payloads, [0] * len(payloads))


def stored() -> int:
    """Return its rows of statuses: there are no results."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select count(*) from pgqueuer_log where status = 'successful'")
        count: int = cursor.fetchone()[0]
        return count
