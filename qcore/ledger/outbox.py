"""The outbox: packages that are to be sent later, or because something was committed.

What is written here joins the transaction of the caller. A claim is one UPDATE that moves
``due`` on and writes a token; so of two that want a row, one gets it, and a claim whose
holder has died is free again by itself. Nothing is deleted before it was sent: a row may
be sent twice, and is never lost.

The statements are in SQL: through the models, one row would cost as much as its task.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.db import connections, transaction
from django.db.utils import Error, OperationalError

from ..brokers.tools import chunks, pack, placeholders
from ..models import OutboxRow
from ..results.sql import is_deadlock
from ..settled import suspended_by
from .clock import now
from .place import database_of, is_ready

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..conf import Conf
    from ..settled import Follower

logger = logging.getLogger("qcore.outbox")

T = TypeVar("T")

#: Seconds that a claim holds.
TERM = 30.0
#: Ids in one statement. SQLite before 3.32 takes 999 parameters.
MAX_IDS = 500
#: Rows and bytes that one INSERT carries at most, unless a single package has more.
#: MariaDB takes 16 MiB in a statement by default, escapes included.
_ROWS, _BYTES = 100, 4 * 1024 * 1024
#: Times that a statement is tried when each time the database gives another one
#: precedence. Inside somebody else's transaction, that one is lost.
_DEADLOCKS = 5

_TABLE = OutboxRow._meta.db_table  # noqa: SLF001 - Django's public name of it


#: What is to be sent: queue, id of the task, package, and its gen.
Entry = tuple[str, str, bytes, int]


class Row(NamedTuple):
    """A row that is to be written."""

    entry: Entry
    delay: float | None  # seconds until it is due; None: it never is
    holder: str | None = None
    is_claimed: bool = False  # by its holder; else its holder is a plugin


class Claimed(NamedTuple):
    """A row that is ours for a while."""

    id: int
    task_id: str
    package: bytes
    tries: int  # before this one


class Outbox:
    """The outbox of a project, for one thread.

    Args:
        conf: the project's settings.

    Raises:
        ConfigError: the database of the ledger is of a kind that it does not work on.
    """

    def __init__(self, conf: Conf) -> None:
        self.database = database_of(conf)
        self._seen_on: BaseDatabaseWrapper | None = None  # its tables were seen there
        now(self._connection)

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self.database]

    @property
    def is_ready(self) -> bool:
        """Whether its tables are there."""
        connection = self._connection
        if self._seen_on is not connection and is_ready(self.database):
            self._seen_on = connection
        return self._seen_on is connection

    @property
    def is_usable(self) -> bool:
        """Whether a row may be written now.

        Not where the tables are missing, the database is away, or a transaction is open
        that will be undone.
        """
        if self._connection.needs_rollback:
            return False
        try:
            return self.is_ready
        except Error as error:
            logger.warning("the outbox is not used: %s", type(error).__name__)
            self.close_if_unusable()
            return False

    @property
    def is_in_transaction(self) -> bool:
        """Whether a row would wait for a commit of this thread."""
        return self._connection.in_atomic_block

    # -- writing -----------------------------------------------------------------
    def write(
        self, entries: Sequence[Entry], *, delay: float = 0, token: str | None = None
    ) -> None:
        """Add rows, in the transaction that is open or in one of their own.

        Args:
            entries: what is to be sent.
            delay: seconds before the relay may claim them.
            token: of a sender that has claimed them for so long; None: nobody has.
        """
        claimed = token is not None
        self._insert([Row(entry, delay, token, claimed) for entry in entries])

    def write_followers(self, followers: Sequence[Follower], token: str) -> None:
        """Add the packages that follow from results or claims, in the open transaction.

        Args:
            followers: what is to be sent, by the relay or by their writer.
            token: of that sender.
        """
        self._insert(
            [
                Row(
                    (one.queue, one.task_id, one.package, one.gen),
                    TERM if one.is_sent_by_writer else one.delay,
                    token if one.is_sent_by_writer else one.held_by,
                    one.is_sent_by_writer,
                )
                for one in followers
            ]
        )

    def _insert(self, rows: Sequence[Row]) -> None:
        parts = list(
            pack(rows, count=_ROWS, size=_BYTES, measure=lambda row: len(row.entry[2]))
        )
        moment = now(self._connection)

        def insert() -> None:
            for part in parts:
                marks: list[str] = []
                values: list[Any] = []
                for (queue, task_id, package, gen), delay, holder, is_claimed in part:
                    claimed = moment if is_claimed else "NULL"
                    due = "NULL" if delay is None else f"{moment} + %s"
                    marks.append(f"({due}, %s, %s, %s, %s, %s, {claimed}, 0)")
                    values += [] if delay is None else [delay]
                    values += [queue, task_id, gen, package, holder]
                self._execute(
                    f"INSERT INTO {_TABLE} (due, queue, task_id, gen, package, held_by,"
                    f" claimed, tries) VALUES {', '.join(marks)}",
                    values,
                )

        self._run(insert, atomic=len(parts) > 1)

    # -- claiming ----------------------------------------------------------------
    def claim(self, queue: str, token: str, *, limit: int, size: int) -> list[Claimed]:
        """Claim what is due, for ``TERM`` seconds, the oldest first.

        Args:
            queue: whose packages.
            token: new for each claim.
            limit: rows at most.
            size: bytes of packages at most, unless the first one has more.
        """
        skips = self._connection.features.has_select_for_update_skip_locked
        ids = self._run(
            lambda: self._claim_ids(queue, token, limit, size, locks=skips),
            atomic=skips,
        )
        return self._held(token, ids)

    def _claim_ids(
        self, queue: str, token: str, limit: int, size: int, *, locks: bool
    ) -> list[int]:
        moment, vendor = now(self._connection), self._connection.vendor
        # The index by name: a fresh table has no statistics to choose it by.
        by = "FORCE INDEX (qcore_outbox_due)" if vendor == "mysql" else ""
        found = self._execute(
            f"SELECT id, LENGTH(package) FROM {_TABLE} {by} WHERE queue = %s"
            f" AND due <= {moment} ORDER BY due, id LIMIT %s"
            f" {'FOR UPDATE SKIP LOCKED' if locks else ''}",
            [queue, limit],
        )
        ids = _bounded(found, size)
        for part in chunks(ids, MAX_IDS):
            # What another one has claimed meanwhile is not due any more.
            self._execute(
                f"UPDATE {_TABLE} SET held_by = %s, claimed = {moment},"
                f" due = {moment} + %s, tries = tries + 1"
                f" WHERE id IN ({placeholders(part)}) AND due <= {moment}",
                [token, TERM, *part],
            )
        return ids

    def _held(self, token: str, ids: Sequence[int]) -> list[Claimed]:
        """Return the rows that a claim has got, in the order of ``ids``."""
        found: dict[int, Claimed] = {}
        for part in chunks(ids, MAX_IDS):
            rows = self._execute(
                f"SELECT id, task_id, package, tries - 1 FROM {_TABLE}"
                f" WHERE id IN ({placeholders(part)}) AND held_by = %s",
                [*part, token],
            )
            for id, task_id, package, tries in rows:
                found[id] = Claimed(id, task_id, bytes(package), tries)
        return [found[id] for id in ids if id in found]

    # -- ending a claim ------------------------------------------------------------
    def delete(self, token: str, ids: Sequence[int]) -> None:
        """Delete rows that were sent, as far as they are still held by ``token``."""
        for part in chunks(ids, MAX_IDS):
            self._run(
                partial(
                    self._execute,
                    f"DELETE FROM {_TABLE} WHERE id IN ({placeholders(part)}) AND held_by = %s",
                    [*part, token],
                )
            )

    def put_off(self, token: str, ids: Sequence[int], seconds: float) -> None:
        """Give rows up, so that a relay may claim them after so long."""
        for part in chunks(ids, MAX_IDS):
            self._put_off(f"id IN ({placeholders(part)})", part, token, seconds)

    def delete_tasks(self, token: str, task_ids: Sequence[str]) -> None:
        """Do as ``delete``, by the ids of tasks: their sender knows no others."""
        for part in chunks(task_ids, MAX_IDS):
            self._run(
                partial(
                    self._execute,
                    f"DELETE FROM {_TABLE} WHERE task_id IN ({placeholders(part)})"
                    " AND held_by = %s",
                    [*part, token],
                )
            )

    def put_off_tasks(
        self, token: str, task_ids: Sequence[str], seconds: float
    ) -> None:
        """Do as ``put_off``, by the ids of tasks."""
        for part in chunks(task_ids, MAX_IDS):
            self._put_off(f"task_id IN ({placeholders(part)})", part, token, seconds)

    def _put_off(
        self, condition: str, values: Sequence[Any], token: str, seconds: float
    ) -> None:
        self._run(
            lambda: self._execute(
                f"UPDATE {_TABLE} SET held_by = NULL, claimed = NULL,"
                f" due = {now(self._connection)} + %s"
                f" WHERE {condition} AND held_by = %s",
                [seconds, *values, token],
            )
        )

    # -- parked rows -----------------------------------------------------------------
    def wake(self, plugin: str, task_ids: Sequence[str], delay: float = 0) -> set[str]:
        """Make the parked rows of tasks due that a plugin holds, in the open transaction.

        Args:
            plugin: the name of its entry point.
            task_ids: of the tasks.
            delay: seconds until they are due.

        Returns:
            The ids of the tasks that were parked by this plugin.
        """
        found: set[str] = set()
        locks = self._connection.features.has_select_for_update
        for part in chunks(sorted(set(task_ids)), MAX_IDS):
            rows = self._execute(
                f"SELECT id, task_id FROM {_TABLE} WHERE task_id IN ({placeholders(part)})"
                " AND held_by IN (%s, %s) AND claimed IS NULL"
                f" ORDER BY id {'FOR UPDATE' if locks else ''}",
                [*part, plugin, suspended_by(plugin)],
            )
            if not rows:
                continue
            ids = [id for id, _ in rows]
            self._execute(
                f"UPDATE {_TABLE} SET held_by = NULL, due = {now(self._connection)} + %s"
                f" WHERE id IN ({placeholders(ids)})",
                [delay, *ids],
            )
            found.update(task_id for _, task_id in rows)
        return found

    # -- looking -------------------------------------------------------------------
    def next_due(self, queue: str) -> float | None:
        """Return the seconds until the first row is due, negative where it is; or None."""
        found = self._execute(
            f"SELECT due - {now(self._connection)} FROM {_TABLE} WHERE queue = %s"
            " AND due IS NOT NULL ORDER BY due LIMIT 1",
            [queue],
        )
        return float(found[0][0]) if found else None

    def due_queues(self) -> set[str]:
        """Return the queues of which a row is due."""
        found = self._execute(
            f"SELECT DISTINCT queue FROM {_TABLE} WHERE due <= {now(self._connection)}",
            [],
        )
        return {queue for (queue,) in found}

    def delayed(self, queue: str) -> list[tuple[float, bytes]]:
        """Return what nobody holds and is not due yet: seconds until then, and the package."""
        moment = now(self._connection)
        found = self._execute(
            f"SELECT due - {moment}, package FROM {_TABLE} WHERE queue = %s"
            f" AND due > {moment} AND held_by IS NULL ORDER BY due, id",
            [queue],
        )
        return [(float(ahead), bytes(package)) for ahead, package in found]

    # -- statements ----------------------------------------------------------------
    def _run(self, work: Callable[[], T], *, atomic: bool = False) -> T:
        """Do something, in a transaction if need be, and again after a deadlock."""
        tries = 1 if self._connection.in_atomic_block else _DEADLOCKS
        while True:
            try:
                with transaction.atomic(self.database) if atomic else nullcontext():
                    return work()
            except OperationalError as error:
                tries -= 1
                if not tries or not is_deadlock(error):
                    raise
                # whoever won is done soon; two losers must not meet again
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - no secret

    def _execute(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []

    def close_if_unusable(self) -> None:
        """Let a broken connection go, unless a transaction of somebody else is open."""
        if not self._connection.in_atomic_block:
            self._connection.close_if_unusable_or_obsolete()

    def close(self) -> None:
        """Close the connection of this thread."""
        self._connection.close()


def _bounded(found: Sequence[tuple[Any, ...]], size: int) -> list[int]:
    """Return the first ids whose packages have so many bytes at most, and one at least."""

    def ids() -> Iterator[int]:
        room = size
        for place, (id, length) in enumerate(found):
            room -= length
            if room < 0 and place:
                return
            yield id

    return list(ids())
