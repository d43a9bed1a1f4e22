"""The state of a task whose package is in the outbox, and not with the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections
from django.db.utils import Error

from ..errors import StoreError
from ..models import OutboxRow
from ..tasks.state import State, in_outbox
from .clock import now
from .place import database_of, is_ready

if TYPE_CHECKING:
    from ..conf import Conf

_TABLE = OutboxRow._meta.db_table  # noqa: SLF001 - Django's public name of it


def state_of(conf: Conf, task_id: str) -> State | None:
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
    return in_outbox(due, held_by, claimed, now=0.0)
