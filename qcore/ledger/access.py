"""Access to the tables of the ledger: its statements, and what their errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.utils import Error

from ..models.missing_tables import migrate_advice
from ..results.failures import class_of
from .clock import now
from .place import database_of

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..conf import Conf


class Access:
    """The database of the ledger, for one thread.

    Args:
        conf: the project's settings.

    Raises:
        ConfigError: the database of the ledger is of a kind that it does not work on.
    """

    def __init__(self, conf: Conf) -> None:
        self.database = database_of(conf)
        now(self.connection)  # tells where it does not work on this kind of database

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """This thread's connection."""
        return connections[self.database]

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if it has any."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn an error of the database into one of ours.

        Args:
            what: could not be done, as the rest of "cannot".

        Raises:
            StoreError: with what to type where the tables are missing.
        """
        try:
            yield
        except Error as error:
            self.close_if_unusable()
            advice = migrate_advice(error, self.database)
            raise class_of(error)(
                f"cannot {what}: the database {self.database!r} says"
                f" {type(error).__name__}: {str(error).strip()}"
                f"{advice and f'. {advice}'}"
            ) from error

    def close_if_unusable(self) -> None:
        """Close a broken connection, unless a transaction of another caller is open."""
        if not self.connection.in_atomic_block:
            self.connection.close_if_unusable_or_obsolete()

    def close(self) -> None:
        """Close the connection of this thread."""
        self.connection.close()
