"""Paused queues: from which no cluster claims, until somebody resumes them.

A pause is one row, so it outlives clusters, deploys and whoever has made it. It is kept
here and nowhere else: each cluster looks at it every second, and keeps no copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from ..models import QueuePause, Ticket
from ..status import Pause
from .clock import now
from .notifications import notify

if TYPE_CHECKING:
    from .access import Access

_TABLE = QueuePause._meta.db_table  # noqa: SLF001 - Django's public name of it
_TICKETS = Ticket._meta.db_table  # noqa: SLF001
_COLUMNS = "queue, at, paused_by, reason"


class Pauses:
    """The paused queues of a project.

    Args:
        access: to the database of the ledger.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def add(self, queue: str, by: str | None, reason: str) -> tuple[Pause, bool]:
        """Pause a queue, in the transaction that is open or in one of its own.

        Returns:
            The pause, and whether it is new: one that is there stays as it is.
        """
        with transaction.atomic(self._access.database):
            before = self.of(queue)
            connection = self._access.connection
            again = (
                "ON DUPLICATE KEY UPDATE queue = VALUES(queue)"
                if connection.vendor == "mysql"
                else "ON CONFLICT (queue) DO NOTHING"
            )
            self._access.execute(
                f"INSERT INTO {_TABLE} ({_COLUMNS})"
                f" VALUES (%s, {now(connection)}, %s, %s) {again}",
                [queue, by, reason],
            )
            found = self.of(queue)
            notify(connection)
        assert found is not None, "a row that was just written is read"
        return found, before is None

    def remove(self, queue: str) -> Pause | None:
        """Resume a queue, as ``add`` does; return the pause that ends, if there is one."""
        with transaction.atomic(self._access.database):
            found = self.of(queue)
            if found is not None:
                self._access.execute(f"DELETE FROM {_TABLE} WHERE queue = %s", [queue])
                notify(self._access.connection)
        return found

    def of(self, queue: str) -> Pause | None:
        """Return the pause of a queue, or None."""
        found = self._access.execute(
            f"SELECT {_COLUMNS} FROM {_TABLE} WHERE queue = %s", [queue]
        )
        return _read(found[0]) if found else None

    def look(self, queue: str) -> tuple[Pause | None, bool]:
        """Return the pause of a queue; and whether any task is marked as cancelled."""
        ((has_marks, *row),) = self._access.execute(
            f"SELECT EXISTS (SELECT 1 FROM {_TICKETS} WHERE ended IS NULL"
            " AND cancelled IS NOT NULL), queue, at, paused_by, reason"
            f" FROM (SELECT 1 AS one) AS always LEFT JOIN {_TABLE} ON queue = %s",
            [queue],
        )
        return (None if row[0] is None else _read(tuple(row))), bool(has_marks)

    def all(self) -> list[Pause]:
        """Return every pause, by the names of the queues."""
        found = self._access.execute(f"SELECT {_COLUMNS} FROM {_TABLE} ORDER BY queue")
        return [_read(row) for row in found]


def _read(row: tuple[Any, ...]) -> Pause:
    queue, at, by, reason = row
    return Pause(queue=queue, at=float(at), by=by, reason=reason)
