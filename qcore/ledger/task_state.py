"""The state of a task whose package is in the outbox, and not with the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections
from django.db.utils import Error

from ..errors import StoreError
from ..models import OutboxRow
from ..settled import is_suspended
from .clock import now
from .place import database_of, is_ready

if TYPE_CHECKING:
    from ..conf import Conf

_TABLE = OutboxRow._meta.db_table  # noqa: SLF001 - Django's public name of it


def state_of(conf: Conf, task_id: str) -> str | None:
    """Return where a task is that is in the outbox; None: it is not there.

    One of ``scheduled``, ``waiting``, ``parked`` and ``suspended``.

    Raises:
        StoreError: the database cannot be asked.
    """
    database = database_of(conf)
    connection = connections[database]
    try:
        if not is_ready(database):
            return None
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT due - {now(connection)}, held_by, claimed FROM {_TABLE}"
                " WHERE task_id = %s ORDER BY gen DESC, id DESC LIMIT 1",
                [task_id],
            )
            found = cursor.fetchone()
    except Error as error:
        raise StoreError(
            f"cannot ask the outbox of database {database!r}: {type(error).__name__}:"
            f" {error}"
        ) from error
    if found is None:
        return None
    due, held_by, claimed = found
    if is_suspended(held_by):
        return "suspended"
    if due is None or (held_by is not None and claimed is None):
        return "parked"  # by a plugin; due where it expires, or where it was cancelled
    # one that is being sent is due later: when its sender would have to be taken for dead
    return "scheduled" if due > 0 and held_by is None else "waiting"
