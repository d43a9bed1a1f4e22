"""Locks: who waits for whom where a sender keeps its transaction open.

A sender waits for another sender that has taken the same key, for a while. A cluster waits
for no sender: while a transaction of a user is open, it would claim and store nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from django.db import OperationalError, connections

from qcore.errors import BrokerUnavailable

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

    from .models import UniqueKey

Row = TypeVar("Row", bound="Model")

#: Seconds for which a sender waits for the commit of another one, on PostgreSQL. Elsewhere
#: the database has a limit of its own: 50 s on MariaDB, 5 s on SQLite.
LONGEST = 10.0

_LOCK_NOT_AVAILABLE = "55P03"


@contextmanager
def waiting(database: str, what: str) -> Iterator[None]:
    """Wait no longer than ``LONGEST`` for other transactions.

    Args:
        database: the alias of it; its transaction is open.
        what: is waited for.

    Raises:
        BrokerUnavailable: that was too short.
    """
    connection = connections[database]
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        # in this order: the value that it had comes first
        cursor.execute(
            "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)",
            [f"{LONGEST * 1000:.0f}ms"],
        )
        before, _ = cursor.fetchone()
    try:
        yield
    except OperationalError as error:
        cause = error.__cause__
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        if state != _LOCK_NOT_AVAILABLE:
            raise
        raise BrokerUnavailable(
            f"another transaction that sends a task has {what}, and has not ended for"
            f" {LONGEST:g} s. Send unique tasks at the end of a transaction."
        ) from error
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


def reads_are_old(database: str) -> bool:
    """Whether a plain SELECT sees a key as it was when the transaction began.

    So it is on MariaDB and MySQL. A SELECT that locks sees it as it is.
    """
    return connections[database].vendor == "mysql"


def skipping(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Lock rows, and pass over those that others have locked, where the database can."""
    features = connections[rows.db].features
    return rows.select_for_update(
        skip_locked=features.has_select_for_update_skip_locked
    )


def lock(
    rows: QuerySet[UniqueKey], task_ids: Sequence[str]
) -> tuple[list[str], set[str]]:
    """Lock the keys of tasks without waiting.

    Args:
        rows: the keys that count.
        task_ids: of the tasks.

    Returns:
        The digests that are locked now, and the ids of the tasks whose key others have locked.
    """
    own = rows.filter(task_id__in=task_ids)
    found = dict(skipping(own).order_by("digest").values_list("digest", "task_id"))
    if len(set(found.values())) == len(set(task_ids)):
        return sorted(found), set()  # nearly always
    seen = own.values_list("digest", "task_id")
    return sorted(found), {id for mark, id in seen if mark not in found}
