"""A result store whose results are rows of a file.

What a store keeps of a result is a ``Row``; how two attempts become one (``merge``) and
how an ``async_iter`` is joined (``join``) is the same for all stores, so it comes from
``qcore.results.rows``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from qcore import ResultStore
from qcore.results.finished import FinishedTask
from qcore.results.rows import (
    FIELDS,
    NAME,
    Row,
    clip,
    collapse,
    is_ended_call,
    join,
    merge,
    stored_value,
)
from qcore.results.tally import Tally

from .database import Database

if TYPE_CHECKING:
    import datetime as dt

    from qcore import Conf, Result

TABLES = (
    """CREATE TABLE IF NOT EXISTS results (
        id TEXT PRIMARY KEY, name TEXT, label TEXT, of_iter INTEGER,
        success INTEGER, enqueued REAL, started REAL, stopped REAL, row TEXT)""",
    "CREATE INDEX IF NOT EXISTS by_name ON results (name, stopped)",
    "CREATE INDEX IF NOT EXISTS by_label ON results (label)",
)


class ExampleStore(ResultStore):
    """Keeps results in a file that the processes of a project share."""

    supports_counts = True

    def __init__(self, conf: Conf) -> None:
        """Check the options; the file is not touched before it is needed."""
        super().__init__(conf)
        self._database = Database(conf, "example_store", "results.sqlite3", TABLES)

    # -- for the recorder ------------------------------------------------------
    def save(self, results: Sequence[Result]) -> None:
        with self._database.transaction() as database:
            for row in collapse(results):
                _put(database, merge(_get(database, row.id), row))

    def finished(self, ids: Collection[str]) -> dict[str, tuple[str, bytes]]:
        with self._database.transaction() as database:
            rows = [row for id in ids if (row := _get(database, id))]
        return {row.id: stored_value(row) for row in rows if row.success}

    def crashes(self, ids: Collection[str]) -> dict[str, int]:
        with self._database.transaction() as database:
            rows = {id: _get(database, id) for id in ids}
        return {id: row.crashes if row else 0 for id, row in rows.items()}

    def collate(self, group: str, count: int) -> bool:
        with self._database.transaction() as database:
            elements = _labelled(database, group, of_iter=True)
            if _get(database, group) is None:
                if sum(map(is_ended_call, elements)) < count:
                    return False
                _put(database, join(group, elements))
            for row in elements:
                database.execute("DELETE FROM results WHERE id = ?", [row.id])
            return True

    def separate(self, group: str) -> None:
        with self._database.transaction() as database:
            for row in _labelled(database, group, of_iter=True):
                alone: dict[str, Any] = {"iter_index": None, "iter_count": None}
                _put(database, Row(**{**_fields(row), **alone}))

    # -- for the API -------------------------------------------------------------
    def fetch(self, key: str) -> FinishedTask | None:
        with self._database.transaction() as database:
            row = _find(database, key)
        return None if row is None else self._record(row)

    def fetch_group(  # type: ignore[override]
        self, group: str, failures: bool
    ) -> list[FinishedTask]:
        with self._database.transaction() as database:
            rows = _labelled(database, group, of_iter=False)
        return [self._record(row) for row in rows if row.success or failures]

    def count_group(self, group: str, failures: bool) -> int:
        with self._database.transaction() as database:
            rows = _labelled(database, group, of_iter=False)
        return sum(not (failures and row.success) for row in rows)

    def delete(self, key: str) -> bool:
        with self._database.transaction() as database:
            row = _find(database, key)
            if row is not None:
                database.execute("DELETE FROM results WHERE id = ?", [row.id])
        return row is not None

    def delete_group(self, group: str, tasks: bool) -> int:
        with self._database.transaction() as database:
            rows = _labelled(database, group)
            for row in rows:
                if tasks:
                    database.execute("DELETE FROM results WHERE id = ?", [row.id])
                else:
                    _put(database, Row(**{**_fields(row), "group": None}))
        return len(rows)

    # -- for people --------------------------------------------------------------
    def count(self, since: dt.datetime | None = None) -> Tally:
        with self._database.transaction() as database:
            succeeded = _counted(database, since, success=True)
            failed = _counted(database, since, success=False)
        taken = succeeded[1] + failed[1] if since is not None else None
        return Tally(succeeded[0], failed[0], taken)

    def _record(self, row: Row) -> FinishedTask:
        return FinishedTask.of_row(row, self.conf.accept_content)


# -- rows ----------------------------------------------------------------------------
def _fields(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FIELDS}


def _put(database: sqlite3.Connection, row: Row) -> None:
    of_iter = row.iter_index is not None
    times = [row.enqueued, row.started, row.stopped]
    values = [row.id, row.name, row.group, of_iter, row.success, *times]
    database.execute(
        "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [*values, json.dumps(_fields(row))],
    )


def _get(database: sqlite3.Connection, id: str) -> Row | None:
    found = database.execute("SELECT row FROM results WHERE id = ?", [id]).fetchone()
    return None if found is None else Row(**json.loads(found[0]))


def _find(database: sqlite3.Connection, key: str) -> Row | None:
    """Return the row of a task id, or the newest one of a name."""
    found = database.execute(
        "SELECT id FROM results WHERE name = ? ORDER BY stopped DESC, id DESC LIMIT 1",
        [clip(key, NAME)],
    ).fetchone()
    return _get(database, key) or (_get(database, found[0]) if found else None)


def _counted(
    database: sqlite3.Connection, since: dt.datetime | None, *, success: bool
) -> tuple[int, float]:
    """Return how many rows there are and what they took, without waiting calls."""
    found: tuple[int, float] = database.execute(
        "SELECT count(*), coalesce(sum(stopped - started), 0.0) FROM results WHERE"
        " success = ? AND (of_iter = 0 OR NOT success) AND stopped >= ?",
        [success, since.timestamp() if since else 0.0],
    ).fetchone()
    return found


def _labelled(
    database: sqlite3.Connection, group: str, *, of_iter: bool | None = None
) -> list[Row]:
    """Return a group, oldest first; the calls of an ``async_iter``, the rest, or all."""
    found = database.execute(
        "SELECT row FROM results WHERE label = ? AND of_iter IN (?, ?)"
        " ORDER BY enqueued, id",
        [clip(group, NAME), of_iter is not False, of_iter is True],
    )
    return [Row(**json.loads(row[0])) for row in found]
