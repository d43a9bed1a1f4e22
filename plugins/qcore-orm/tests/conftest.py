"""Databases for the tests of this plugin: aliases that are made when they are asked for.

Each ``Database`` is an entry of ``django.db.connections`` beside those of the settings,
migrated once. Tests share its tables and use queues of their own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from servers.base import LoopbackServer, free_port

from qcore import Conf
from qcore_orm.broker import OrmBroker

KINDS = ("sqlite", "postgres", "mariadb")


@dataclass(frozen=True, slots=True)
class Database:
    """One database that a test uses, and its server where it has one."""

    kind: str
    alias: str
    server: LoopbackServer | None = None

    def conf(self, **settings: Any) -> Conf:
        return Conf.from_dict({"orm": self.alias, **settings})

    def broker(self, queue: str | None = None, **settings: Any) -> OrmBroker:
        return OrmBroker(self.conf(**settings), queue or f"q-{secrets.token_hex(6)}")

    def run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with connections[self.alias].cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []


def add_alias(alias: str, entry: dict[str, Any]) -> None:
    """Make a database known to Django, complete with defaults."""
    complete = connections.configure_settings({"default": {}, alias: entry})
    connections.settings[alias] = complete[alias]


def sqlite_entry(path: Path) -> dict[str, Any]:
    """Return the settings that the README recommends."""
    options = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": options,
    }


@pytest.fixture(scope="session")
def make_database(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
) -> Iterator[Callable[[str], Database]]:
    """``make_database("postgres")`` starts the server on first use, and migrates."""
    made: dict[str, Database] = {}

    def make(kind: str) -> Database:
        if kind not in made:
            alias, server = f"orm_{kind}", None
            if kind == "sqlite":
                add_alias(alias, sqlite_entry(tmp_path_factory.mktemp("orm") / "q.db"))
            else:
                if kind == "mariadb":
                    use_pymysql()
                server = request.getfixturevalue(f"{kind}_server")
                add_alias(alias, server.database())
            with django_db_blocker.unblock():
                call_command("migrate", "qcore_orm", database=alias, verbosity=0)
            made[kind] = Database(kind, alias, server)
        return made[kind]

    yield make
    with django_db_blocker.unblock():
        for database in made.values():
            forget(database.alias)


def use_pymysql() -> None:
    """Let Django find PyMySQL, which is a wheel; mysqlclient has to be compiled."""
    import pymysql

    pymysql.install_as_MySQLdb()


def forget(alias: str) -> None:
    """Close an alias and take it out again."""
    connections[alias].close()
    del connections[alias]
    del connections.settings[alias]


@pytest.fixture(params=KINDS)
def database(
    request: pytest.FixtureRequest,
    make_database: Callable[[str], Database],
    unblocked: None,
) -> Database:
    """Each kind of database in turn; a class chooses one by ``kind``."""
    return make_database(request.param)


@pytest.fixture
def unblocked(django_db_blocker: Any) -> Iterator[None]:
    """Let a test use databases without pytest-django's transactions around it."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def add_database() -> Iterator[Callable[..., None]]:
    """Add an alias for one test: ``add_database("name", entry)`` or ``file=path``."""
    made: list[str] = []

    def add(
        alias: str, entry: dict[str, Any] | None = None, file: Path | None = None
    ) -> None:
        add_alias(alias, entry or sqlite_entry(file or Path()))
        made.append(alias)

    yield add
    for alias in made:
        forget(alias)


@pytest.fixture
def dead_alias() -> Iterator[Callable[[str, str], str]]:
    """``dead_alias(kind, secret)`` names a database whose server is not there."""
    made: list[str] = []

    def make(kind: str, secret: str) -> str:
        alias = f"dead_{kind}"
        if kind == "sqlite":
            entry = sqlite_entry(Path("/nowhere/at/all/queue.sqlite3"))
        else:
            engine = "mysql" if kind == "mariadb" else "postgresql"
            entry = {
                "ENGINE": f"django.db.backends.{engine}",
                "NAME": "queue",
                "USER": "queue",
                "PASSWORD": secret,
                "HOST": "127.0.0.1",
                "PORT": free_port(),
            }
        if kind == "mariadb":
            use_pymysql()
        add_alias(alias, entry)
        made.append(alias)
        return alias

    yield make
    for alias in made:
        forget(alias)
