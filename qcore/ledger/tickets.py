"""Tickets: which package of a task is valid, and the one outcome of the task.

Each method is one statement for a batch, or a few. In SQL: through the models, a ticket
would cost as much as its task.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from ..brokers.tools import chunks, placeholders
from ..models import OutboxRow, Ticket
from ..settled import TicketState
from .clock import now
from .inserting import insert

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Tickets in one statement. SQLite before 3.32 takes 999 parameters.
MAX_IDS = 150
#: Seconds after the end of a task for which its ticket is kept: for so long a package that
#: an outage has kept back is known for a copy.
KEPT = 14 * 86400.0
#: Seconds for which a task that has not ended is remembered after the last that was heard of
#: it: longer than anybody looks for it, or a queue keeps it.
LOST = 90 * 86400.0
#: Tickets that one call of ``prune`` deletes at most.
PRUNED = 1000

_TABLE = Ticket._meta.db_table  # noqa: SLF001 - Django's public name of it
_OUTBOX = OutboxRow._meta.db_table  # noqa: SLF001 - as above


class Tickets:
    """The tickets in a database, for one thread.

    Args:
        database: its alias.
    """

    def __init__(self, database: str) -> None:
        self.database = database

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self.database]

    # -- looking -------------------------------------------------------------------
    def look_up(self, ids: Collection[str]) -> dict[str, TicketState]:
        """Return what the tickets of tasks say; a task without one is missing."""
        return self._select(ids, "")

    def lock(self, gens: Mapping[str, int]) -> dict[str, TicketState]:
        """Return what the tickets of tasks say, made where they are missing.

        A package whose ticket is gone, as after a backup was restored, is the valid one.

        Nobody else changes them before the end of the transaction, which must be open.
        The tickets are locked in the order of their ids: so two batches never wait for
        each other. The INSERT comes first. In SQLite it takes the lock for writing, and
        elsewhere it waits for another transaction that makes the same ticket.

        Args:
            gens: the id of each task, and the gen that a ticket gets that is missing.
        """
        self._insert({id: TicketState(gen=gen) for id, gen in gens.items()})
        locks = self._connection.features.has_select_for_update
        return self._select(gens, "ORDER BY task_id FOR UPDATE" if locks else "")

    def _select(self, ids: Collection[str], tail: str) -> dict[str, TicketState]:
        found: dict[str, TicketState] = {}
        for part in chunks(sorted(ids), MAX_IDS):
            rows = self._execute(
                "SELECT task_id, gen, starts, runs, final, cancelled"
                f" FROM {_TABLE} WHERE task_id IN ({placeholders(part)}) {tail}",
                part,
            )
            found.update((id, TicketState(*state)) for id, *state in rows)
        return found

    # -- writing -------------------------------------------------------------------
    def insert(self, states: Mapping[str, TicketState]) -> bool:
        """Add tickets; return whether none of them was there.

        Where it returns False, those that were missing are added all the same.
        """
        return self._insert(states) == len(states)

    def begin(self, ids: Collection[str]) -> bool:
        """Add tickets of tasks whose first start this is, in the open transaction.

        One statement for what ``lock`` and ``update`` would say in three.

        Returns:
            False if one of them was there: then nothing is added.
        """
        rows = [(id, 0, 1, 1) for id in sorted(ids)]
        columns = ("task_id", "gen", "starts", "runs")
        return self._all_or_none(
            lambda: insert(self._connection, _TABLE, columns, rows, ignore=True),
            len(rows),
        )

    def add_ends(self, states: Mapping[str, TicketState]) -> bool:
        """Add tickets of tasks that had none and have ended, in the open transaction.

        Returns:
            False if one of them was there: then nothing is added.
        """
        return self._all_or_none(lambda: self._insert(states), len(states))

    def end(self, ids: Collection[str], outcome: str, gen: int | None) -> int:
        """Write the outcome into tickets that have none; return into how many.

        Args:
            ids: of tasks that have tickets.
            outcome: how they have ended.
            gen: of their packages; a ticket with a higher one is left as it is. None:
                whatever their gens are.
        """
        limit, values = ("", []) if gen is None else (" AND gen <= %s", [gen])
        moment, ended = now(self._connection), 0
        for part in chunks(sorted(ids), MAX_IDS):
            which = f"task_id IN ({placeholders(part)})"
            if self._connection.vendor == "postgresql":
                # an UPDATE alone locks rows in any order; a subquery, as ``lock`` does
                which = (
                    f"task_id IN (SELECT task_id FROM {_TABLE} WHERE {which}"
                    " ORDER BY task_id FOR UPDATE)"
                )
            with self._connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {_TABLE} SET final = %s, ended = {moment}"
                    f" WHERE {which} AND final IS NULL{limit}",
                    [outcome, *part, *values],
                )
                ended += cursor.rowcount
        return ended

    def _all_or_none(self, add: Callable[[], int], wanted: int) -> bool:
        """Add so many tickets, or none; return whether all of them were added."""
        with transaction.atomic(self.database):
            if add() == wanted:
                return True
            # one of them was there: which one, the slow way finds out
            transaction.set_rollback(True, self.database)
        return False

    def _insert(self, states: Mapping[str, TicketState]) -> int:
        ignore, tail = "", "ON CONFLICT (task_id) DO NOTHING"
        if self._connection.vendor == "mysql":
            ignore, tail = "IGNORE", ""
        added = 0
        for part in chunks(sorted(states), MAX_IDS):
            row, values = self._rows({id: states[id] for id in part})
            with self._connection.cursor() as cursor:
                cursor.execute(
                    f"INSERT {ignore} INTO {_TABLE} (task_id, gen, starts, runs, final,"
                    f" ended) VALUES {row} {tail}",
                    values,
                )
                added += cursor.rowcount
        return added

    def update(self, states: Mapping[str, TicketState]) -> None:
        """Change tickets that this transaction has locked."""
        new = "VALUES({0})" if self._connection.vendor == "mysql" else "excluded.{0}"
        on = (
            "ON DUPLICATE KEY UPDATE"
            if self._connection.vendor == "mysql"
            else "ON CONFLICT (task_id) DO UPDATE SET"
        )
        columns = ("gen", "starts", "runs", "final", "ended")
        changes = ", ".join(f"{name} = {new.format(name)}" for name in columns)
        changes += ", idle = NULL"
        for part in chunks(sorted(states), MAX_IDS):
            row, values = self._rows({id: states[id] for id in part})
            self._execute(
                f"INSERT INTO {_TABLE} (task_id, gen, starts, runs, final, ended)"
                f" VALUES {row} {on} {changes}",
                values,
            )

    def _rows(self, states: Mapping[str, TicketState]) -> tuple[str, list[Any]]:
        moment = now(self._connection)
        rows, values = [], []
        for id, state in states.items():
            ended = "NULL" if state.final is None else moment
            rows.append(f"(%s, %s, %s, %s, %s, {ended})")
            values += [id, state.gen, state.starts, state.runs, state.final]
        return ", ".join(rows), values

    # -- deleting ------------------------------------------------------------------
    def delete(self, ids: Sequence[str]) -> None:
        """Delete tickets of tasks that have ended and were never sent again."""
        for part in chunks(sorted(ids), MAX_IDS):
            self._execute(
                f"DELETE FROM {_TABLE} WHERE task_id IN ({placeholders(part)})"
                " AND gen = 0 AND final IS NOT NULL",
                part,
            )

    def prune(self) -> int:
        """Delete tickets of tasks that ended ``KEPT`` seconds ago; return how many."""
        old = self._execute(
            f"SELECT task_id FROM {_TABLE} WHERE ended <"
            f" {now(self._connection)} - {KEPT!r} ORDER BY ended LIMIT {PRUNED}",
            [],
        )
        ids = [id for (id,) in old]
        for part in chunks(sorted(ids), MAX_IDS):
            self._execute(
                f"DELETE FROM {_TABLE} WHERE task_id IN ({placeholders(part)})", part
            )
        return len(ids)

    def prune_lost(self, last: str) -> tuple[str, int]:
        """Look at a page of tickets that have not ended; delete those that are long idle.

        Nothing says when a ticket was written. So the look marks it, and each change of it
        takes the mark away. What is in the outbox is not idle, however long it waits there.

        Args:
            last: the id with which the page before has ended; "": the first page.

        Returns:
            The id with which this one ends, "" at the end; and how many were deleted.
        """
        moment = now(self._connection)
        is_open = "ended IS NULL AND cancelled IS NULL"
        page = self._execute(
            f"SELECT task_id, idle, idle < {moment} - {LOST!r} FROM {_TABLE}"
            f" WHERE {is_open} AND task_id > %s ORDER BY task_id LIMIT {PRUNED}",
            [last],
        )
        new = [id for id, idle, _ in page if idle is None]
        old = [id for id, _, is_old in page if is_old]
        for part in chunks(new, MAX_IDS):
            self._execute(
                f"UPDATE {_TABLE} SET idle = {moment} WHERE {is_open} AND idle IS NULL"
                f" AND task_id IN ({placeholders(part)})",
                part,
            )
        for part in chunks(old, MAX_IDS):
            self._execute(
                f"DELETE FROM {_TABLE} WHERE {is_open} AND idle < {moment} - {LOST!r}"
                f" AND task_id IN ({placeholders(part)}) AND NOT EXISTS (SELECT 1 FROM"
                f" {_OUTBOX} WHERE {_OUTBOX}.task_id = {_TABLE}.task_id)",
                part,
            )
        return page[-1][0] if len(page) == PRUNED else "", len(old)

    def _execute(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []
