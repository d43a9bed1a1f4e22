"""How the ORM store writes a batch, in the language of each database.

The first success wins, the failure of a later attempt stays, crashes add up; see
``rows.merge``, which says the same in Python. Nothing here goes through model instances: one batch is one statement, and
that is where the speed of the store comes from.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from django.conf import settings
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL
from django.db.utils import Error

from ..brokers.tools import placeholders
from ..errors import ConfigError
from ..models import Task
from ..models.missing_tables import migrate_advice
from .failures import class_of
from .rows import FIELDS, Row

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

TIMES = frozenset({"enqueued", "started", "stopped"})

#: Characters in one statement. MySQL's max_allowed_packet is 16 MB by default, and a
#: character may take four bytes.
MAX_TEXT = 2_000_000


class Upsert(Protocol):
    """Stores rows with as few statements as possible."""

    def __call__(self, cursor: CursorWrapper, rows: Sequence[Row]) -> None:
        """Store rows; no id occurs twice among them."""


def make_upsert(connection: BaseDatabaseWrapper) -> Upsert:
    """Return the upsert for a database.

    Raises:
        ConfigError: it is none of SQLite, PostgreSQL, MariaDB and MySQL.
    """
    kinds: dict[str, Callable[[BaseDatabaseWrapper], Upsert]] = {
        "postgresql": PostgresUpsert,
        "sqlite": SqliteUpsert,
        "mysql": MySqlUpsert,
    }
    if connection.vendor not in kinds:
        raise ConfigError(
            f"results cannot be stored in a database of type {connection.vendor!r};"
            " expected sqlite, postgresql or mysql. Route the app 'qcore' to one."
        )
    return kinds[connection.vendor](connection)


def table_of(connection: BaseDatabaseWrapper) -> str:
    """Return the table of results, quoted: a project may give its tables a prefix."""
    name: str = Task._meta.db_table  # noqa: SLF001 - Django's public name of it
    return str(connection.ops.quote_name(name))


def has_id(ids: Sequence[str]) -> RawSQL:
    """Return the condition of having one of these ids.

    Django's ``id__in`` prepares and compiles each of them: five times as much work as to
    delete the row.
    """
    marks = placeholders(ids)
    return RawSQL(f"id IN ({marks})", tuple(ids), output_field=BooleanField())  # noqa: S611 - marks only


class PostgresUpsert:
    """Sends the batch as one JSON parameter, which the server takes apart.

    Encoding that takes a tenth of the time of binding a parameter for each value.
    """

    TYPES = {
        "success": "boolean",
        "attempt_count": "integer",
        "crashes": "integer",
        "links": "integer",
        "iter_index": "integer",
        "iter_count": "integer",
        "final": "boolean",
    } | dict.fromkeys(TIMES, "double precision")

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        table = table_of(connection)
        typed = ", ".join(f'"{f}" {self.TYPES.get(f, "text")}' for f in FIELDS)
        values = (f'to_timestamp("{f}")' if f in TIMES else f'"{f}"' for f in FIELDS)
        self.statement = (
            f"INSERT INTO {table} ({_columns()}) SELECT {', '.join(values)}"
            f" FROM json_to_recordset(%s::json) AS batch({typed})"
            f" {_on_conflict(table)}"
        )

    def __call__(self, cursor: CursorWrapper, rows: Sequence[Row]) -> None:
        for part in portions(rows):
            cursor.execute(self.statement, [msgspec.json.encode(part).decode()])


class SqliteUpsert:
    """Runs one prepared statement for each row, inside the library: no round trips."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        table = table_of(connection)
        marks = placeholders(FIELDS)
        self.values = Values(connection)
        self.statement = (
            f"INSERT INTO {table} ({_columns()}) VALUES ({marks}) {_on_conflict(table)}"
        )

    def __call__(self, cursor: CursorWrapper, rows: Sequence[Row]) -> None:
        cursor.executemany(self.statement, [self.values(row) for row in rows])


class MySqlUpsert:
    """Sends the batch as one statement with a list of values for each row."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        table = table_of(connection)
        self.values = Values(connection)
        server: Any = connection
        # MySQL 8.0.20 deprecates VALUES(); before 8.0.19, and in MariaDB, a new row
        # has no alias.
        aliased = not server.mysql_is_mariadb and server.mysql_version >= (8, 0, 19)
        new = "new.`{}`" if aliased else "VALUES(`{}`)"
        alias = " AS new" if aliased else ""
        crashes = (
            f"{table}.crashes + IF({table}.started = {new.format('started')}, 0,"
            f" {new.format('crashes')})"
        )
        stays = (
            f"{table}.success OR (NOT {new.format('success')}"
            f" AND {new.format('attempt_count')} < {table}.attempt_count)"
        )
        # Assignments take effect from left to right, so each must come before those
        # that change what it reads: `started` after `crashes`, and what all of them
        # read last.
        last = ("attempt_count", "success")
        order = ["crashes", *_without(FIELDS[1:], "crashes", *last), *last]
        assignments = (
            f"`{f}` = IF({stays}, {table}.`{f}`,"
            f" {crashes if f == 'crashes' else new.format(f)})"
            for f in order
        )
        columns = ", ".join(f"`{f}`" for f in FIELDS)
        self.head = f"INSERT INTO {table} ({columns}) VALUES "
        self.row = f"({placeholders(FIELDS)})"
        self.tail = f"{alias} ON DUPLICATE KEY UPDATE {', '.join(assignments)}"

    def __call__(self, cursor: CursorWrapper, rows: Sequence[Row]) -> None:
        for part in portions(rows):
            marks = ", ".join([self.row] * len(part))
            values = [value for row in part for value in self.values(row)]
            cursor.execute(f"{self.head}{marks}{self.tail}", values)


class Values:
    """Turns rows into parameters; times become text in the zone of the connection."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        # None is local time, which is what naive dates are where USE_TZ is off.
        self.zone = connection.timezone if settings.USE_TZ else None

    def __call__(self, row: Row) -> tuple[Any, ...]:
        return tuple(
            self._time(value) if name in TIMES else value
            for name, value in zip(FIELDS, msgspec.structs.astuple(row), strict=True)
        )

    def _time(self, seconds: float) -> str:
        when = dt.datetime.fromtimestamp(seconds, self.zone)
        return str(when.replace(tzinfo=None))


def is_deadlock(error: BaseException) -> bool:
    """Return whether a transaction failed only because another one went first."""
    cause = error.__cause__
    # psycopg says sqlstate, psycopg2 says pgcode: serialization_failure, deadlock
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    # MySQL: ER_LOCK_DEADLOCK, and MariaDB's ER_CHECKREAD (record has changed)
    return state in {"40001", "40P01"} or error.args[:1] in {(1213,), (1020,)}


def portions(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows in parts of about MAX_TEXT characters, at least one row each."""
    part: list[Row] = []
    size = 0
    for row in rows:
        length = len(row.value) + len(row.payload)
        if part and size + length > MAX_TEXT:
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part


def _without(names: Sequence[str], *excluded: str) -> list[str]:
    return [name for name in names if name not in excluded]


def _columns() -> str:
    return ", ".join(f'"{name}"' for name in FIELDS)


def _on_conflict(table: str) -> str:
    """Return the clause that PostgreSQL and SQLite share."""
    crashes = (
        f"{table}.crashes + CASE WHEN {table}.started = excluded.started"
        " THEN 0 ELSE excluded.crashes END"
    )
    new = {name: f'excluded."{name}"' for name in FIELDS[1:]} | {"crashes": crashes}
    assignments = ", ".join(f'"{name}" = {value}' for name, value in new.items())
    return (
        f"ON CONFLICT (id) DO UPDATE SET {assignments} WHERE NOT {table}.success"
        f" AND (excluded.success OR excluded.attempt_count >= {table}.attempt_count)"
    )


@contextmanager
def store_errors(connection: BaseDatabaseWrapper, what: str) -> Iterator[None]:
    """Raise what database and driver raise as StoreError; let a broken connection go.

    Args:
        connection: that is used.
        what: cannot be done then, for the message: "store results".

    Raises:
        StoreError: a class of it that says whether the error passes.
    """
    try:
        yield
    except (Error, TypeError, ValueError, OverflowError, OSError) as error:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        migrate = migrate_advice(error, connection.alias)
        raise class_of(error)(
            f"cannot {what} in database {connection.alias!r}:"
            f" {type(error).__name__}: {error}{migrate and f'. {migrate}'}"
        ) from error
