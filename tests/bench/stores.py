"""Where queue and results are kept in a comparison; real servers, private to the run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.postgres import PostgresServer
from servers.redis import RedisServer

#: name -> (is Redis the queue, is PostgreSQL the database of results)
STORES = {"sqlite": (False, False), "postgres": (False, True), "redis": (True, True)}

#: More than there are contenders: each has a database of Redis to itself.
_REDIS_DATABASES = 64
_WAL = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
#: Seconds for the last session on a template to end.
_PATIENCE = 5.0


@dataclass(slots=True)
class Store:
    """The services of one comparison."""

    name: str
    folder: Path
    redis: RedisServer | None
    postgres: PostgresServer | None

    @property
    def pids(self) -> list[int]:
        """The servers' main processes."""
        return [server.pid for server in (self.redis, self.postgres) if server]

    def redis_url(self, number: int) -> str:
        """Return the URL of a database of Redis, or ""."""
        if self.redis is None:
            return ""
        return self.redis.url(number % _REDIS_DATABASES)

    def flush(self, url: str) -> None:
        """Empty a database of Redis."""
        if url:
            import redis

            with redis.Redis.from_url(url) as client:
                client.flushdb()

    def database(self, name: str, conn_max_age: int | None = None) -> dict[str, Any]:
        """Return Django's entry for the database ``name``."""
        if self.postgres is not None:
            entry = dict(self.postgres.database(name))
        else:
            entry = {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(self._file(name)),
                "OPTIONS": {
                    "timeout": 20,
                    "transaction_mode": "IMMEDIATE",
                    "init_command": _WAL,
                },
            }
        return entry | {"CONN_MAX_AGE": conn_max_age}

    def create(self, name: str, source: str | None = None) -> None:
        """Make a database anew: empty, or a copy of ``source``."""
        if self.postgres is None:
            for end in ("", "-wal", "-shm"):
                Path(f"{self._file(name)}{end}").unlink(missing_ok=True)
            if source is not None:
                shutil.copy(self._file(source), self._file(name))
            return
        template = f'template "{source}"' if source else ""
        self.sql(f'drop database if exists "{name}" with (force)')
        self._patiently(f'create database "{name}" {template}')

    def analyze(self, name: str) -> None:
        """Gather the statistics that autovacuum would, within a minute."""
        if self.postgres is not None:
            self.sql("analyze", name)

    def sql(self, statement: str, database: str = "postgres") -> None:
        """Run a statement in PostgreSQL."""
        import psycopg

        assert self.postgres is not None
        at = self.postgres.database()
        place = f"host={at['HOST']} port={at['PORT']} user={at['USER']}"
        with psycopg.connect(f"{place} dbname={database}", autocommit=True) as link:
            link.execute(statement)

    def _patiently(self, statement: str) -> None:
        """Run a statement again while a session that just ended is in its way."""
        import psycopg

        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return self.sql(statement)
            except psycopg.errors.ObjectInUse:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.sqlite3"


@contextmanager
def open_store(
    name: str, folder: Path, *, appendonly: bool = False, fsync: bool = True
) -> Iterator[Store]:
    """Start what a store needs, and end it.

    The servers have their defaults: PostgreSQL writes through to the disk, and Redis
    keeps no file unless it is to have its log (``appendonly``, each second). Without
    ``fsync`` PostgreSQL leaves its writes to the kernel.
    """
    needs_redis, needs_postgres = STORES[name]
    words = ["--databases", str(_REDIS_DATABASES)]
    if appendonly:
        words += ["--appendonly", "yes", "--appendfsync", "everysec"]
    redis = RedisServer(*words) if needs_redis else None
    writes = (f"fsync={'on' if fsync else 'off'}", "max_connections=400")
    options = [word for option in writes for word in ("-c", option)]
    postgres = PostgresServer(*options) if needs_postgres else None
    servers = [server for server in (redis, postgres) if server is not None]
    try:
        for server in servers:
            server.start()
        yield Store(name, folder, redis, postgres)
    finally:
        for server in servers:
            server.close()
