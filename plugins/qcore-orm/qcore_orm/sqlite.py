"""What SQLite is asked."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import diagnosis
from .filewatch import FileWatch
from .statements import MOST_ATTEMPTS, Claimed, Cursor, Statements
from .waiting import Look, Waiter

if TYPE_CHECKING:
    from qcore.conf import Conf
    from qcore.findings import Finding

#: UPDATE and INSERT ... RETURNING came with this release (2021-03-12).
OLDEST = (3, 35)
#: Seconds between two looks for rows that somebody else has written.
FOREIGN_SECONDS = 60.0
#: Primary result codes; the upper bits of a code only say more about it.
BUSY, LOCKED = 5, 6


class SQLiteStatements(Statements):
    """One statement each, in SQLite's own transaction around it.

    A lone UPDATE takes the write lock before it reads, as BEGIN IMMEDIATE would, so
    it waits for other writers and never fails half-way for want of the lock.
    """

    # All processes share this host's clock; julianday counts milliseconds.
    clock_sql = "((julianday('now') - 2440587.5) * 86400.0)"
    tick = 0.001
    version = "sqlite_version()"
    _foreign_at = 0.0

    def insert(
        self, cursor: Cursor, packages: Sequence[bytes], delay: float, rank: int
    ) -> list[int]:
        rows = ", ".join(["(%s)"] * len(packages))
        column, mark, values = self.rank_column(rank)
        cursor.execute(
            f"WITH given (package) AS (VALUES {rows}) INSERT INTO {self.table}"
            f" ({self.key}, payload, visible, claimed, attempts{column})"
            f" SELECT %s, package, {self.now} + %s, 0, 0{mark} FROM given RETURNING id",
            [*packages, self.queue, delay, *values],
        )
        return sorted(id for (id,) in cursor.fetchall())

    def claim(self, cursor: Cursor, limit: int, lease: float) -> list[Claimed]:
        # A look comes first: an UPDATE would take the only write lock to find nothing.
        ranks = self.ranks(cursor)
        if time.monotonic() >= self._foreign_at:
            self._foreign_at = time.monotonic() + FOREIGN_SECONDS
            for rank, _ in ranks:
                self._show_foreign(cursor, rank)
        due = [rank for rank, seconds in ranks if seconds <= 0]
        return self.claim_ranks(cursor, due, limit, lease)

    def claim_rank(
        self, cursor: Cursor, rank: int, limit: int, lease: float
    ) -> list[Claimed]:
        cursor.execute(
            f"UPDATE {self.table} SET visible = {self.now} + %s, claimed = 1,"
            f" attempts = min(max(CAST(attempts AS INTEGER), 0), {MOST_ATTEMPTS}) + 1"
            f" WHERE id IN ("
            f"SELECT id FROM {self.table} WHERE {self.key} = %s AND priority_rank = %s"
            f" AND visible <= {self.now} ORDER BY visible, id LIMIT %s)"
            # as bytes even where it is a text that is not UTF-8, which cannot be read
            " RETURNING id, CAST(payload AS BLOB), attempts",
            [lease, self.queue, rank, limit],
        )
        return sorted(cursor.fetchall())

    def _show_foreign(self, cursor: Cursor, rank: int) -> None:
        """Show rows whose time is no number: it is greater than all numbers."""
        where = f"{self.key} = %s AND priority_rank = %s AND visible > 9e999"
        cursor.execute(
            f"SELECT 1 FROM {self.table} WHERE {where} LIMIT 1", [self.queue, rank]
        )
        if cursor.fetchone():
            cursor.execute(
                f"UPDATE {self.table} SET visible = {self.now}, claimed = 0"
                f" WHERE {where}",
                [self.queue, rank],
            )

    def put_stat(self, cursor: Cursor, key: str, value: bytes, ttl: float) -> None:
        cursor.execute(
            f"INSERT INTO {self.stats} ({self.key}, value, expires)"
            f" VALUES (%s, %s, {self.now} + %s) ON CONFLICT ({self.key}) DO UPDATE"
            " SET value = excluded.value, expires = excluded.expires",
            [key, value, ttl],
        )

    def diagnose(self, cursor: Cursor, conf: Conf) -> list[Finding]:
        cursor.execute("PRAGMA journal_mode")
        mode = str(cursor.fetchone()[0]).lower()
        if mode == "memory":
            return []
        cursor.execute("PRAGMA busy_timeout")
        seconds = cursor.fetchone()[0] / 1000
        # not in the stubs: how Django's wrapper of SQLite begins a transaction
        begins = str(getattr(self.connection, "transaction_mode", None) or "").upper()
        return [
            *diagnosis.journal(mode),
            *diagnosis.patience(seconds),
            *diagnosis.beginnings(begins),
        ]

    def waiter(self, look: Look, poll: float) -> Waiter:
        return FileWatch(self.connection, look, poll)

    def refusal(self) -> str | None:
        if sqlite3.sqlite_version_info >= OLDEST:
            return None
        return f"SQLite {sqlite3.sqlite_version}; the queue needs 3.35 or newer"

    def is_busy(self, error: BaseException) -> bool:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in (BUSY, LOCKED)

    def is_unmigrated(self, error: BaseException) -> bool:
        text = str(error)
        return any(
            sign in text
            for sign in ("no such table", "no such column", "no column named")
        )
