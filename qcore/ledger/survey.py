"""What is in the outbox, for people: by queue, with what is late and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from django.db import connections

from ..models import OutboxRow
from ..signing import Signer
from .clock import now
from .relay import FEW

#: Packages that are looked at, the oldest ones: a million takes seconds.
LOOKED_AT = 10_000


class QueueState(NamedTuple):
    """The rows of one queue."""

    queue: str
    rows: int
    late: float | None
    """Seconds since the first one is due, negative before; None: none has a time."""
    refused: int
    """Rows that were tried several times."""


def survey(database: str) -> list[QueueState]:
    """Return what each queue has in the outbox.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    connection = connections[database]
    table = OutboxRow._meta.db_table  # noqa: SLF001 - Django's public name of it
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT queue, COUNT(*), {now(connection)} - MIN(due),"
            f" SUM(CASE WHEN tries >= %s THEN 1 ELSE 0 END) FROM {table}"
            " GROUP BY queue ORDER BY queue",
            [FEW],
        )
        return [
            QueueState(queue, rows, None if late is None else float(late), int(refused))
            for queue, rows, late, refused in cursor.fetchall()
        ]


def under_old_keys(database: str, signer: Signer) -> tuple[int, int]:
    """Return how many packages an older key has signed, or an unknown one.

    Of the oldest rows, ``LOOKED_AT`` of them.
    """
    older = unknown = 0
    for package in _packages(database):
        key = signer.key_of(package)
        older += key is not None and key > 0
        unknown += key is None
    return older, unknown


def _packages(database: str) -> Iterator[bytes]:
    rows = OutboxRow.objects.using(database).order_by("id").values_list("package")
    for (package,) in rows[:LOOKED_AT].iterator(chunk_size=500):
        yield bytes(package)
