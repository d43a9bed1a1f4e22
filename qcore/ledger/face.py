"""The ledger as plugins see it: where it is, whether it is there, and what time it is."""

from __future__ import annotations

from django.db import connections

from .clock import now
from .place import is_ready


class LedgerFace:
    """The ledger of a project, for one thread.

    Args:
        database: the alias of its database.
    """

    def __init__(self, database: str) -> None:
        self.database = database

    @property
    def is_ready(self) -> bool:
        """Whether its tables are there.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        return is_ready(self.database)

    def now(self) -> float:
        """Return the time by the clock of its database, in seconds since the epoch.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        connection = connections[self.database]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {now(connection)}")
            return float(cursor.fetchone()[0])
