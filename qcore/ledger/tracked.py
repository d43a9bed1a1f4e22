"""Tracked tasks: written where they are sent, marked by the worker, ended with the result.

So whoever has the id of one can ask for it from its enqueueing on, in another process, with
any broker and any result store. What is not tracked costs nothing here: no statement is
made for it.

A row may be missing: its task was sent by another task's chain, or by ``commit="now"``
inside a transaction. Then the worker writes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import connections, transaction
from msgspec import UNSET

from ..brokers.tools import chunks, placeholders
from ..envelope import Result, Task
from ..models import OutboxRow, Tracked
from ..models.tables import exists
from ..results.content import to_text
from ..results.rows import NAME, PATH, clip
from ..results.sql import store_errors
from ..tasks.tracking import Entry, ErrorRow, TrackedTask, error_row
from .clock import now
from .place import database_of

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..conf import Conf

logger = logging.getLogger("qcore.recorder")

WAITING, RUNNING = "waiting", "running"

_TABLE = Tracked._meta.db_table  # noqa: SLF001 - Django's public name of it
_OUTBOX = OutboxRow._meta.db_table  # noqa: SLF001 - as above
_COLUMNS = tuple(str(f.column) for f in Tracked._meta.concrete_fields)  # noqa: SLF001 - the same
#: Rows in one statement: SQLite before 3.32 takes 999 parameters.
_ROWS = 999 // len(_COLUMNS)
_IDS = 500
#: Rows that one round of pruning deletes at most.
_PRUNED = 1000
#: Errors that are kept of one task, the last ones. A task may fail for ever, and its row is
#: written each time: of 64 kB each, these are 1.3 MB. MariaDB takes 16 MiB by default.
_ERRORS = 20

_ENDED = (
    "state = %s, finished = %s, value_content = %s, value = %s,"
    " started = COALESCE(started, %s)"
)
_OPEN = "task_id = %s AND finished IS NULL"

_encode = msgspec.json.Encoder().encode
_errors_of = msgspec.json.Decoder(list[ErrorRow]).decode


class Tracker:
    """The tracked tasks of a project, for one thread.

    Args:
        conf: the project's settings.

    Raises:
        ConfigError: the database of the ledger is of a kind that it does not work on.
    """

    def __init__(self, conf: Conf) -> None:
        self.database = database_of(conf)
        now(self._connection)
        self._is_there = False

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self.database]

    @property
    def is_in_transaction(self) -> bool:
        """Whether what is written would wait for a commit of this thread."""
        return self._connection.in_atomic_block

    def transaction(self) -> AbstractContextManager[None]:
        """Return a transaction of its database; one that is open is joined."""
        return transaction.atomic(self.database, savepoint=False)

    # -- the sender ----------------------------------------------------------------
    def write(self, entries: Sequence[Entry]) -> None:
        """Add tasks that are about to be sent, in the transaction that is open, if any.

        A task that is there already is left as it is: its caller sends it again.

        Raises:
            StoreError: the database does not take them.
        """
        with self._errors("track a task"):
            self._insert([_row(task, queue, after) for task, queue, after in entries])

    def delete(self, ids: Sequence[str]) -> None:
        """Forget tasks that could not be sent.

        Raises:
            StoreError: the database does not do it now.
        """
        with self._errors("forget a tracked task"):
            for part in chunks(ids, _IDS):
                self._execute(
                    f"DELETE FROM {_TABLE} WHERE task_id IN ({placeholders(part)})",
                    part,
                )

    # -- the worker ----------------------------------------------------------------
    def begin(self, task: Task, worker: str, moment: float) -> TrackedTask | None:
        """Note that an attempt begins, unless the task has ended.

        Args:
            task: that is about to run.
            worker: who runs it, as "host:pid".
            moment: seconds since the epoch.

        Returns:
            The task as it is now, where it is one of ``django.tasks``.

        Raises:
            StoreError: the database does not take it now.
        """
        line = f"{worker}\n"
        is_mysql = self._connection.vendor == "mysql"
        workers = "CONCAT(workers, %s)" if is_mysql else "workers || %s"
        sql = (
            f"UPDATE {_TABLE} SET state = %s, started = COALESCE(started, %s),"
            f" attempted = %s, workers = {workers} WHERE {_OPEN}"
        )
        values = [RUNNING, moment, moment, line, task.id]
        is_asked = task.options.backend is not UNSET
        with self._errors("note that a task runs"):
            if is_asked and self._returns:
                rows = self._rows(f"{sql} RETURNING {', '.join(_COLUMNS)}", values)
                if rows:
                    return rows[0]
            elif self._execute(sql, values):
                return self._find([task.id]).get(task.id) if is_asked else None
            row = _row(task, task.queue, None)
            row |= {"state": RUNNING, "started": moment, "attempted": moment}
            self._insert([row | {"workers": line}])
            return self._find([task.id]).get(task.id) if is_asked else None

    @property
    def _returns(self) -> bool:
        """Whether an UPDATE can return what it has changed."""
        connection = self._connection
        return (
            connection.vendor == "postgresql"
            or (
                connection.vendor == "sqlite"
                and connection.features.can_return_columns_from_insert  # from SQLite 3.35 on
            )
        )

    # -- the recorder --------------------------------------------------------------
    def end(self, results: Sequence[Result]) -> None:
        """Note how attempts have ended, in the transaction that is open, if any.

        The first final end of a task stands. An end that comes twice changes nothing.

        Raises:
            StoreRefused: the database will never take one of them.
            StoreError: the database does not take them now.
        """
        done = [_end(result) for result in results if result.success]
        failed = [result for result in results if not result.success]
        with self._errors("note how a task has ended"), self.transaction():
            errors = self._errors_with(failed)
            undone = [_end(one, errors[one.task.id]) for one in failed]
            changed = self._execute_many(
                f"UPDATE {_TABLE} SET {_ENDED} WHERE {_OPEN}", done
            )
            changed += self._execute_many(
                f"UPDATE {_TABLE} SET {_ENDED}, errors = %s WHERE {_OPEN}", undone
            )
            if changed < len(results):
                self._add_missing(results, errors)

    def again(self, ids: Sequence[str]) -> None:
        """Note that tasks wait again: they were given back in the midst of an attempt.

        Raises:
            StoreError: the database does not take it now.
        """
        with self._errors("note that a task waits"):
            for part in chunks(ids, _IDS):
                self._execute(
                    f"UPDATE {_TABLE} SET state = %s WHERE task_id IN ({placeholders(part)})"
                    " AND finished IS NULL",
                    [WAITING, *part],
                )

    def _errors_with(self, failed: Sequence[Result]) -> dict[str, list[ErrorRow]]:
        """Return the errors of the tasks that failed, those of this time included."""
        if not failed:
            return {}
        known = {
            id: row.errors
            for id, row in self._find([one.task.id for one in failed]).items()
        }
        for result in failed:
            errors = known.setdefault(result.task.id, [])
            # known by its moment: the same end may be stored twice
            if all(row.moment != result.stopped for row in errors):
                errors.append(error_row(result))
                del errors[:-_ERRORS]
        return known

    def _add_missing(
        self, results: Sequence[Result], errors: dict[str, list[ErrorRow]]
    ) -> None:
        """Add the tasks that have no row; those that had ended before have one."""
        last = {result.task.id: result for result in results}
        there = self._find(list(last))
        rows = []
        for id, result in last.items():
            if id not in there:
                row = _row(result.task, result.task.queue, None)
                names = ("state", "finished", "value_content", "value", "started")
                row |= dict(zip(names, _end(result), strict=False))
                row["attempted"] = result.started
                row["errors"] = _encode(errors.get(id, [])).decode()
                rows.append(row)
        self._insert(rows)

    # -- whoever asks --------------------------------------------------------------
    def find(self, id: str) -> TrackedTask | None:
        """Return a tracked task; None where there is none of this id.

        Raises:
            StoreError: the database cannot be asked.
        """
        with self._errors("look a tracked task up"):
            return self._find([id]).get(id)

    def _find(self, ids: Sequence[str]) -> dict[str, TrackedTask]:
        return {
            row.task_id: row
            for part in chunks(ids, _IDS)
            for row in self._rows(
                f"SELECT {', '.join(_COLUMNS)} FROM {_TABLE}"
                f" WHERE task_id IN ({placeholders(part)})",
                part,
            )
        }

    def _rows(self, sql: str, values: Sequence[Any]) -> list[TrackedTask]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, list(values))
            return [_tracked(found) for found in cursor.fetchall()]

    # -- upkeep --------------------------------------------------------------------
    def prune(self, seconds: float) -> bool:
        """Delete what has ended longer ago than that, ``_PRUNED`` rows at most.

        Returns:
            Whether there may be more.

        Raises:
            StoreError: the database does not do it now.
        """
        with self._errors("prune tracked tasks"):
            if not self._is_there:
                self._is_there = exists(Tracked)
            if not self._is_there:
                return False
            with self._connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT task_id FROM {_TABLE} WHERE finished < %s"
                    " ORDER BY finished LIMIT %s",
                    [time.time() - seconds, _PRUNED],
                )
                old = [id for (id,) in cursor.fetchall()]
            self.delete(old)
            return len(old) == _PRUNED

    def forget_lost(self, seconds: float) -> list[str]:
        """Delete tasks that were lost long ago, ``_PRUNED`` rows at most; return their ids.

        Such a task has not ended, was due so many seconds ago, has begun no attempt since
        then, and has no package in the outbox: whatever queue had it is gone.

        Raises:
            StoreError: the database does not do it now.
        """
        with self._errors("forget lost tasks"):
            if not exists(Tracked):
                return []
            before = time.time() - seconds
            with self._connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT task_id FROM {_TABLE} WHERE finished IS NULL"
                    " AND enqueued < %s AND (run_after IS NULL OR run_after < %s)"
                    " AND (attempted IS NULL OR attempted < %s) AND NOT EXISTS"
                    f" (SELECT 1 FROM {_OUTBOX} WHERE {_OUTBOX}.task_id = {_TABLE}.task_id)"
                    " LIMIT %s",
                    [before, before, before, _PRUNED],
                )
                lost = sorted(id for (id,) in cursor.fetchall())
            self.delete(lost)
            return lost

    def close(self) -> None:
        """Close the connection of this thread."""
        self._connection.close()

    # -- statements ------------------------------------------------------------------
    def _insert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows; those whose task is there already are left out."""
        mysql = self._connection.vendor == "mysql"
        head = "INSERT IGNORE INTO" if mysql else "INSERT INTO"
        tail = "" if mysql else "ON CONFLICT (task_id) DO NOTHING"
        for part in chunks(rows, _ROWS):
            marks = ", ".join([f"({placeholders(_COLUMNS)})"] * len(part))
            self._execute(
                f"{head} {_TABLE} ({', '.join(_COLUMNS)}) VALUES {marks} {tail}",
                [row[column] for row in part for column in _COLUMNS],
            )

    def _execute(self, sql: str, values: Sequence[Any]) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return int(cursor.rowcount)

    def _execute_many(self, sql: str, values: Sequence[Sequence[Any]]) -> int:
        if not values:
            return 0
        with self._connection.cursor() as cursor:
            cursor.executemany(sql, values)
            return int(cursor.rowcount)

    def _errors(self, what: str) -> AbstractContextManager[None]:
        return store_errors(self._connection, what)


def _tracked(values: Sequence[Any]) -> TrackedTask:
    row = dict(zip(_COLUMNS, values, strict=True))
    row["workers"] = row["workers"].split()
    row["errors"] = _read_errors(row["task_id"], row["errors"])
    row["takes_context"] = bool(row["takes_context"])
    return TrackedTask(**row)


def _read_errors(task_id: str, text: str) -> list[ErrorRow]:
    try:
        return _errors_of(text)
    except msgspec.DecodeError as error:
        # the ends of a batch are noted together: one row must not stop the others
        logger.warning("the errors of task %s cannot be read: %s", task_id, error)
        return []


def _row(task: Task, queue: str, run_after: float | None) -> dict[str, Any]:
    """Return the row of a task that waits."""
    options = task.options
    return {
        "task_id": task.id,
        "backend": None if options.backend is UNSET else clip(options.backend, NAME),
        "func": clip(task.func, PATH),
        "queue": queue,
        "priority": task.priority,
        "run_after": run_after,
        "takes_context": options.takes_context is True,
        "content": task.content,
        "payload": to_text(task.body, task.content),
        "said": kept_of(task),
        "enqueued": task.created,
        "state": WAITING,
        "started": None,
        "attempted": None,
        "finished": None,
        "workers": "",
        "errors": "[]",
        "value_content": None,
        "value": None,
    }


def kept_of(task: Task) -> str:
    """Return what a package says beside its call, as JSON."""
    return _encode(msgspec.structs.replace(task, body=b"")).decode()


def _end(result: Result, errors: Sequence[ErrorRow] | None = None) -> list[Any]:
    """Return the values of ``_ENDED``, those of the errors if any, and the id of the row."""
    values: list[Any] = [WAITING, None, None, None]
    if result.success or result.final:
        value = to_text(result.value, result.content)
        values = [str(result.outcome), result.stopped, result.content, value]
    values.append(result.started)
    if errors is not None:
        values.append(_encode(errors).decode())
    values.append(result.task.id)
    return values
