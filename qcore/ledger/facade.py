"""The ledger for plugins: its database and its clock, and what it knows of tasks."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import OperationalError, connections, transaction

from ..brokers.tools import chunks
from ..envelope import Outcome
from ..errors import EnqueueError
from ..masking import mask_url
from ..models import OutboxRow
from ..results.sql import is_deadlock
from ..runtime import current
from ..settled import Settled, suspended_by
from ..tasks.sending import send
from .clock import now
from .features import tell
from .inserting import insert
from .outbox import MAX_IDS
from .passing import is_passing
from .place import is_ready, lacking
from .tickets import Tickets

if TYPE_CHECKING:
    from ..envelope import Task

logger = logging.getLogger("qcore.relay")

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

    def lacking(self, plugins: Iterable[str]) -> str | None:
        """Return which of these plugins lacks tables, and what to type; None: none does.

        Args:
            plugins: the names of their entry points. One that is no Django app as a whole
                is not asked for.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        return lacking(self.database, plugins)

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

    def each(
        self,
        items: Iterable[T],
        work: Callable[[T], object],
        failed: Callable[[T], object] | None = None,
    ) -> None:
        """Do work for each item, whatever one of them fails with; for sweeps.

        Args:
            items: what is looked at, or the parts of a sweep.
            work: opens its transactions itself, with ``run``.
            failed: is called with each item that ``work`` fails for.

        Raises:
            Exception: a database that is away stops the rest. What else ``work`` has raised
                is raised after the last item; where several fail, it is the first error,
                and the others are in the log.
        """
        first: Exception | None = None
        for item in items:
            try:
                work(item)
            except Exception as error:
                if is_passing(error):
                    raise
                if failed is not None:
                    failed(item)
                if first is None:
                    first = error
                    continue
                logger.error("one more part of a sweep failed: %s: %s",
                             type(error).__name__, mask_url(str(error)))  # fmt: skip
        if first is not None:
            raise first

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

    def bring_forward(self, delays: Mapping[str, float]) -> set[str]:
        """Have tasks sent sooner that wait in the outbox, with the commit that is open.

        A task that is parked, or that a sender has just now, is left as it is.

        Args:
            delays: seconds until each task is sent, by its id. One that is sent sooner
                anyway is left as it is.

        Returns:
            The ids of those that are sent sooner now.

        Raises:
            django.db.Error: the database does not take it.
        """
        changed: set[str] = set()
        rows = OutboxRow.objects.using(self.database)
        for part in chunks(sorted(delays), MAX_IDS):
            waiting = rows.filter(task_id__in=part, claimed=None, due__isnull=False)
            found = list(
                waiting.select_for_update().only("task_id", "due").order_by("id")
            )
            moment = self.now()
            sooner = []
            for row in found:
                due = moment + max(0.0, delays[row.task_id])
                if row.due is not None and due < row.due:
                    row.due = due
                    sooner.append(row)
            rows.bulk_update(sooner, ["due"], batch_size=100)
            changed.update(row.task_id for row in sooner)
        return changed

    def parked(
        self, plugin: str, *, after: int = 0, limit: int = 500
    ) -> list[tuple[int, str]]:
        """Return parked tasks that a plugin holds, page by page, for its sweep.

        Args:
            plugin: the name of its entry point.
            after: the last number of the page before; 0: the first page.
            limit: tasks at most.

        Returns:
            The number and the id of each task.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        rows = OutboxRow.objects.using(self.database).filter(
            held_by__in=(plugin, suspended_by(plugin)), claimed=None, id__gt=after
        )
        return list(rows.order_by("id").values_list("id", "task_id")[:limit])

    def now(self) -> float:
        """Return the time by the clock of its database, in seconds since the epoch.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        connection = connections[self.database]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {now(connection)}")
            return float(cursor.fetchone()[0])

    # -- statements ----------------------------------------------------------------
    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in its database, and return the rows that it finds.

        For what is done for each task: Django's models cost as much as the task.

        Args:
            sql: for SQLite, PostgreSQL, MariaDB and MySQL; ``%s`` in the place of a value.
            values: for these places.

        Raises:
            django.db.Error: the database does not take it.
        """
        with connections[self.database].cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        *,
        ignore: bool = False,
    ) -> int:
        """Add rows to a table, a few hundred in each statement; return how many were added.

        Args:
            table: its name.
            columns: of each row; the others have the defaults of the database.
            rows: their values.
            ignore: leave out a row whose key is there.

        Raises:
            django.db.Error: the database does not take one of them.
        """
        return insert(connections[self.database], table, columns, rows, ignore=ignore)

    def change(
        self,
        table: str,
        key: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
    ) -> None:
        """Change rows, each by its own values.

        Args:
            table: its name.
            key: the column by which a row is found.
            columns: that are changed.
            rows: the key of each row, then its values.

        Raises:
            django.db.Error: the database does not take one of them.
        """
        if not rows:
            return
        connection = connections[self.database]
        quote = connection.ops.quote_name
        changes = ", ".join(f"{quote(column)} = %s" for column in columns)
        with connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {quote(table)} SET {changes} WHERE {quote(key)} = %s",
                [(*values, id) for id, *values in rows],
            )

    def send(self, tasks: Sequence[Task], *, delay: float = 0) -> set[str]:
        """Send new tasks with the commit of the transaction that is open here.

        Plugins are asked about them first. They are rows of the outbox of that transaction
        whatever the setting ``outbox`` says, so neither a crash nor a broker that is away
        loses them; where the broker is this database, they are in its queue at once.

        Args:
            tasks: as ``qcore.tasks.calls.build`` makes them; for any queues.
            delay: seconds before they may run.

        Returns:
            The ids of those that a plugin has skipped: they are not sent.

        Raises:
            EnqueueError: one of them cannot be sent; undo what was written for them.
            BrokerError: the database does not take them now.
        """
        if not connections[self.database].in_atomic_block:
            raise EnqueueError(
                f"ledger.send() got {len(tasks)} tasks outside of a transaction of the"
                f" database {self.database!r}. Open one: current.ledger.run(work)"
            )
        queues: dict[str, list[Task]] = {}
        for task in tasks:
            queues.setdefault(task.queue, []).append(task)
        skipped: set[str] = set()
        for some in queues.values():
            skipped |= send(some, delay=delay, within=self.database).keys()
        return skipped

    def unsent(self, tasks: Sequence[Task]) -> None:
        """Tell plugins that tasks about which they were asked will never be sent.

        For whoever sends them later, or elsewhere, and cannot. To a plugin it is the end of
        the task, which frees what it has kept for it.

        Args:
            tasks: as plugins have changed them.

        Raises:
            LedgerError: a plugin has failed.
            django.db.Error: the database does not answer.
        """
        settled = [
            Settled(task=task, outcome=Outcome.DISCARDED, final=True)
            for task in tasks
            if task.needs
        ]
        if settled:
            self.run(lambda: tell(current.registry.features, settled))

    def ended(self, ids: Collection[str]) -> dict[str, str]:
        """Return the final outcomes of those of these tasks that the ledger knows to be over.

        A task whose ticket was deleted, or that never had one, is missing.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        states = Tickets(self.database).look_up(ids)
        return {id: one.final for id, one in states.items() if one.final is not None}

    def waiting(self, ids: Collection[str]) -> set[str]:
        """Return which of these tasks the outbox has: they wait there, or are to be sent.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        rows = OutboxRow.objects.using(self.database)
        return {
            id
            for part in chunks(sorted(set(ids)), MAX_IDS)
            for id in rows.filter(task_id__in=part).values_list("task_id", flat=True)
        }
