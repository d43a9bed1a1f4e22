"""Where queue and results are kept in a comparison; real servers, private to the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.postgres import PostgresServer
from servers.redis import RedisServer

#: name -> (is Redis the queue, is PostgreSQL the database of results)
STORES = {"sqlite": (False, False), "postgres": (False, True), "redis": (True, True)}

_WAL = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"


@dataclass(slots=True)
class Store:
    """The services of one comparison."""

    name: str
    folder: Path
    redis: RedisServer | None
    postgres: PostgresServer | None
    turns: int = 0

    def fresh(self) -> dict[str, str]:
        """Return the environment of a turn: an empty database and an empty queue."""
        self.turns += 1
        env = {"BENCH_STORE": self.name, "BENCH_REDIS": ""}
        if self.redis is not None:
            env["BENCH_REDIS"] = self.redis.url(self.turns % 16)
            self._flush(env["BENCH_REDIS"])
        if self.postgres is None:
            database: dict[str, object] = {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(self.folder / f"turn{self.turns}.sqlite3"),
                "OPTIONS": {
                    "timeout": 20,
                    "transaction_mode": "IMMEDIATE",
                    "init_command": _WAL,
                },
            }
        else:
            database = self.postgres.database(f"turn{self.turns}")
            self._create(f"turn{self.turns}")
        env["BENCH_DATABASE"] = json.dumps(database | {"CONN_MAX_AGE": None})
        return env

    def _flush(self, url: str) -> None:
        import redis

        with redis.Redis.from_url(url) as client:
            client.flushdb()

    def _create(self, name: str) -> None:
        import psycopg

        assert self.postgres is not None
        known = self.postgres.database()
        place = f"host={known['HOST']} port={known['PORT']} user={known['USER']}"
        with psycopg.connect(f"{place} dbname=postgres", autocommit=True) as connection:
            connection.execute(f'create database "{name}"')


@contextmanager
def open_store(name: str, folder: Path) -> Iterator[Store]:
    """Start what a store needs, and end it. PostgreSQL writes to the disk as usual."""
    needs_redis, needs_postgres = STORES[name]
    redis = RedisServer() if needs_redis else None
    postgres = PostgresServer("-c", "fsync=on") if needs_postgres else None
    servers = [server for server in (redis, postgres) if server is not None]
    try:
        for server in servers:
            server.start()
        yield Store(name, folder, redis, postgres)
    finally:
        for server in servers:
            server.close()
