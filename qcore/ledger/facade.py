"""The ledger for plugins: its database, whether its tables are there, and its clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import OperationalError, connections, transaction

from ..results.sql import is_deadlock
from ..runtime import current
from .clock import now
from .place import is_ready

T = TypeVar("T")

#: Times that work is tried while the database lets other transactions go first.
_TRIES = 5


def _is_deadlock(error: BaseException) -> bool:
    """Whether an error, or its cause, says that another transaction went first."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OperationalError):
        found = found.__cause__
    return found is not None and is_deadlock(found)


class LedgerFacade:
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

    def run(self, work: Callable[[], T]) -> T:
        """Do work in a transaction, and again if another transaction goes first.

        Inside a transaction of the caller it is done once: the whole would have to be done
        again.

        Args:
            work: may be called several times; what it has written is undone before that.

        Raises:
            Exception: what ``work`` has raised.
        """
        tries = 1 if connections[self.database].in_atomic_block else _TRIES
        while True:
            try:
                with transaction.atomic(using=self.database):
                    return work()
            except Exception as error:
                tries -= 1
                if not tries or not _is_deadlock(error):
                    raise
            # whoever won is done soon; two losers must not meet again
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - no secret

    def wake(self, plugin: str, task_ids: Sequence[str], delay: float = 0) -> set[str]:
        """Have tasks sent that a plugin has parked, with the commit that is open.

        Args:
            plugin: the name of its entry point.
            task_ids: of the tasks; another one may have been cancelled meanwhile.
            delay: seconds until they are sent.

        Returns:
            The ids of those that were parked by this plugin.

        Raises:
            django.db.Error: the database does not take it.
        """
        outbox = current.outbox
        return outbox.wake(plugin, task_ids, delay) if outbox is not None else set()

    def now(self) -> float:
        """Return the time by the clock of its database, in seconds since the epoch.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        connection = connections[self.database]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {now(connection)}")
            return float(cursor.fetchone()[0])
