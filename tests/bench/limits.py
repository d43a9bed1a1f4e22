"""What the machine, Redis, PostgreSQL and SQLite can do for one client, without a peer."""

from __future__ import annotations

import hmac
import json
import os
import pickle
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from stores import Store, open_store

from qcore.bench.writer import Table, as_markdown, spread

#: Seconds that each limit is measured in each round.
_SECONDS = 0.7
#: Bytes of a package, and what a task looks like.
_PACKAGE = b"x" * 300
_TASK = {"id": "0" * 32, "func": "work.noop", "args": [1], "kwargs": {}}

_TABLE = """
    create table q (id bigserial primary key, payload jsonb, status int default 0);
    create index q_waiting on q (id) where status = 0
"""
_INSERT = "insert into q (payload) values (%s)"
_UNNEST = "insert into q (payload) select unnest(%s::jsonb[])"
_CLAIM = """
    update q set status = 1 where id in (
        select id from q where status = 0 order by id for update skip locked limit {}
    ) returning id
"""
_FINISH = "update q set status = 2 where id = any(%s)"


def render(rounds: int) -> list[str]:
    """Return a table of medians with their spread."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="qcore-bench-") as name:
            Path(name).chmod(0o755)
            with open_store("redis", Path(name)) as store:
                for what, figure in _all(store):
                    found.setdefault(what, []).append(figure)
    rows = [[what, spread(figures, 1)] for what, figures in found.items()]
    return as_markdown([Table(["what", "median [lowest..highest]"], rows, right={1})])


def _all(store: Store) -> Iterator[tuple[str, float]]:
    yield from _redis(store)
    yield from _postgres(store)
    yield from _sqlite(store.folder / "limits.sqlite3")
    yield from _python()


def _per_second(call: Callable[[], Any], each: int = 1) -> float:
    """Return how often something can be done, with ``each`` in a call."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        call()
        done += each
    return done / (time.perf_counter() - began)


def _redis(store: Store) -> Iterator[tuple[str, float]]:
    import redis

    with redis.Redis.from_url(store.redis_url(0)) as client:
        client.flushdb()
        yield "redis: PING/s", _per_second(client.ping)
        yield "redis: LPUSH/s", _per_second(lambda: client.lpush("a", _PACKAGE))
        many = [_PACKAGE] * 100
        yield (
            "redis: LPUSH of 100, values/s",
            _per_second(lambda: client.lpush("b", *many), 100),
        )
        fields = {b"p": _PACKAGE}

        def pipeline() -> None:
            with client.pipeline(transaction=False) as pipe:
                for _ in range(100):
                    pipe.xadd("c", fields)  # type: ignore[arg-type]
                pipe.execute()

        yield "redis: XADD, 100 in a pipeline/s", _per_second(pipeline, 100)
        client.flushdb()


def _postgres(store: Store) -> Iterator[tuple[str, float]]:
    import psycopg

    store.create("limits")
    at = store.database("limits")
    place = f"host={at['HOST']} port={at['PORT']} user={at['USER']} dbname=limits"

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(place, autocommit=True)

    yield "postgres: connections/s", _per_second(lambda: connect().close())
    row = json.dumps(_TASK)
    with connect() as link:
        link.execute(_TABLE)
        yield "postgres: SELECT 1/s", _per_second(lambda: link.execute("select 1"))
        yield (
            "postgres: INSERT and commit/s",
            _per_second(lambda: link.execute(_INSERT, (row,))),
        )
        yield (
            "postgres: INSERT of 1000 by unnest, rows/s",
            _per_second(lambda: link.execute(_UNNEST, ([row] * 1000,)), 1000),
        )

        def claim(count: int) -> None:
            ids = [id for (id,) in link.execute(_CLAIM.format(count)).fetchall()]
            link.execute(_FINISH, (ids,))

        for count in (1, 50):
            yield (
                f"postgres: claim {count}, finish {count}, tasks/s",
                _per_second(partial(claim, count), count),
            )
        with connect() as other:
            other.execute("listen channel")

            def wake() -> None:
                link.execute("notify channel")
                next(other.notifies(timeout=1, stop_after=1))

            yield "postgres: NOTIFY until it is heard, µs", 1e6 / _per_second(wake)


def _sqlite(path: Path) -> Iterator[tuple[str, float]]:
    link = sqlite3.connect(path, isolation_level=None)
    link.execute("pragma journal_mode = wal")
    link.execute("pragma synchronous = normal")
    link.execute("create table q (id integer primary key, payload text)")
    insert, row = "insert into q (payload) values (?)", json.dumps(_TASK)
    yield (
        "sqlite: INSERT and commit/s",
        _per_second(lambda: link.execute(insert, (row,))),
    )

    def batch() -> None:
        link.execute("begin immediate")
        link.executemany(insert, [(row,)] * 1000)
        link.execute("commit")

    yield "sqlite: INSERT of 1000, rows/s", _per_second(batch, 1000)
    link.close()


def _python() -> Iterator[tuple[str, float]]:
    key, text, pickled = b"k" * 32, json.dumps(_TASK), pickle.dumps(_TASK)
    calls: dict[str, Callable[[], Any]] = {
        "json.dumps": lambda: json.dumps(_TASK),
        "json.loads": lambda: json.loads(text),
        "pickle.loads": lambda: pickle.loads(pickled),
        "HMAC-SHA256": lambda: hmac.digest(key, _PACKAGE, "sha256"),
    }
    for name, call in calls.items():
        yield f"python: {name}, µs", 1e6 / _per_second(call)
    yield "python: fork and wait, µs", 1e6 / _per_second(_fork)


def _fork() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
