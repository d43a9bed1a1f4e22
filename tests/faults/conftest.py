"""Clusters between servers that a test may kill, stop, cut off and fill.

A test asks for ``on_redis`` (queue in a Redis of its own, results in an SQLite file) or
``on_postgres`` (both in a PostgreSQL of the module's own), and starts clusters there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.utils import load_backend
from django.test import override_settings
from faults.place import Place
from live_fixtures import _migrated, database, key, ledger
from servers.postgres import PostgresServer
from shared_fixtures import run_server

from qcore.runtime import current

if TYPE_CHECKING:
    from servers.redis import RedisServer

__all__ = ["_migrated", "database", "key", "ledger"]


def _meet(place: Place) -> Iterator[Place]:
    with override_settings(Q_CLUSTER=place.settings):
        yield place
        place.close()
        current.close()


@pytest.fixture
def on_redis(database: object, own_redis_server: RedisServer) -> Iterator[Place]:
    """A queue in Redis, with every write on disk; results in an SQLite file."""
    where = {"port": own_redis_server.port}
    yield from _meet(Place(own_redis_server, {"name": "faults", "redis": where}))


@pytest.fixture(scope="module")
def own_postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for the tests of one module, which may restart it."""
    yield from run_server("postgres", PostgresServer)


@contextmanager
def _connected(entry: dict[str, object], blocker: Any) -> Iterator[None]:
    """Connect the alias ``default`` of this thread to a database, with all tables."""
    complete = connections.configure_settings({"default": entry})["default"]
    before = connections["default"]
    with blocker.unblock():
        backend = load_backend(complete["ENGINE"])
        connections["default"] = backend.DatabaseWrapper(complete, "default")
        current.reset()
        try:
            call_command("migrate", verbosity=0)
            yield
        finally:
            connections["default"].close()
            connections["default"] = before
            current.reset()


@pytest.fixture(scope="module")
def _postgres_tables(
    own_postgres_server: PostgresServer, django_db_blocker: Any
) -> Iterator[PostgresServer]:
    with _connected(own_postgres_server.database(), django_db_blocker):
        yield own_postgres_server


@pytest.fixture
def on_postgres(_postgres_tables: PostgresServer) -> Iterator[Place]:
    """Queue and results in one PostgreSQL."""
    server = _postgres_tables
    django = {"DATABASES": {"default": server.database()}}
    yield from _meet(Place(server, {"name": "faults", "orm": "default"}, django))


@pytest.fixture
def results_on_postgres(
    _postgres_tables: PostgresServer, own_redis_server: RedisServer
) -> Iterator[Place]:
    """A queue in Redis and results in PostgreSQL: one may be away without the other."""
    django = {"DATABASES": {"default": _postgres_tables.database()}}
    settings = {"name": "faults", "redis": {"port": own_redis_server.port}}
    yield from _meet(Place(_postgres_tables, settings, django))


@pytest.fixture(scope="module", params=["redis", "sqlite", "postgres"])
def each(
    request: pytest.FixtureRequest, database: Path, django_db_blocker: Any
) -> Iterator[Place]:
    """Each broker in turn, for the tests of a module; none may stop its server.

    Redis is a queue beside a database, SQLite and PostgreSQL are both in one.
    """
    kind = request.param
    if kind == "sqlite":
        yield from _meet(Place(None, {"name": "faults", "orm": "default"}, kind=kind))
        return
    server = request.getfixturevalue(f"{kind}_server")
    if kind == "redis":
        where = {"name": "faults", "redis": {"port": server.port}}
        yield from _meet(Place(server, where, kind=kind))
        return
    entry = server.database(new_database(server))
    with _connected(entry, django_db_blocker):
        django = {"DATABASES": {"default": entry}}
        where = {"name": "faults", "orm": "default"}
        yield from _meet(Place(server, where, django, kind=kind))


def new_database(server: PostgresServer) -> str:
    """Make an empty database in a server that others use too; return its name."""
    import psycopg

    name = f"faults_{secrets.token_hex(4)}"
    address = f"host={server.host} port={server.port} user={server.user}"
    with psycopg.connect(address, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def through(fault_proxy: Callable[..., Any], on_redis: Place) -> Any:
    """A proxy in front of the Redis of ``on_redis``; ``redis=through.setting``."""
    return fault_proxy(on_redis.server.port)
