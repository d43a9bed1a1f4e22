"""Inserting: many rows in a statement, the way each database takes them fastest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..brokers.tools import chunks, placeholders

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Values in one statement: PostgreSQL takes 65,535 where the server binds them.
_VALUES = 10_000


def insert(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    ignore: bool = False,
) -> int:
    """Add rows; return how many were added.

    SQLite runs one prepared statement for each row, without a round trip; elsewhere the
    rows stand in one statement.

    Args:
        connection: to the database.
        table: its name.
        columns: of each row; the others have the defaults of the database.
        rows: their values.
        ignore: leave out a row whose key is there.

    Raises:
        django.db.Error: the database does not take one of them.
    """
    if not rows:
        return 0
    mysql, quote = connection.vendor == "mysql", connection.ops.quote_name
    head = f"INSERT{' IGNORE' if ignore and mysql else ''} INTO {quote(table)}"
    tail = " ON CONFLICT DO NOTHING" if ignore and not mysql else ""
    row = f"({placeholders(columns)})"
    start = f"{head} ({', '.join(map(quote, columns))}) VALUES"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.executemany(f"{start} {row}{tail}", rows)
            return int(cursor.rowcount)
        added = 0
        for part in chunks(rows, max(1, _VALUES // len(columns))):
            marks = ", ".join([row] * len(part))
            cursor.execute(
                f"{start} {marks}{tail}", [value for values in part for value in values]
            )
            added += cursor.rowcount
        return added
