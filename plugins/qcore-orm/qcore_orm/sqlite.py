"""What SQLite is asked, and how a change of its file is noticed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .statements import Claimed, Statements
from .waiting import FIRST_PAUSE, GROWTH, Waiter

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

#: UPDATE and INSERT ... RETURNING came with this release (2021-03-12).
OLDEST = (3, 35)
#: Primary result codes; the upper bits of a code only say more about it.
BUSY, LOCKED = 5, 6
#: A look at the version takes 10 µs of processor time with its sleep, so that
#: twenty of them in each `poll` of 0.2 s are 1 ms in every second.
LOOKS_PER_POLL = 20


class SQLiteStatements(Statements):
    """One statement each, in SQLite's own transaction around it.

    A lone UPDATE takes the write lock before it reads, as BEGIN IMMEDIATE would, so
    it waits for other writers and never fails half-way for want of the lock.
    """

    # All processes share this host's clock; julianday counts milliseconds.
    now = "((julianday('now') - 2440587.5) * 86400.0)"
    tick = 0.001
    version = "sqlite_version()"

    def insert(
        self, cursor: CursorWrapper, packages: Sequence[bytes], delay: float
    ) -> list[int]:
        rows = ", ".join(["(%s)"] * len(packages))
        cursor.execute(
            f"WITH given (package) AS (VALUES {rows}) INSERT INTO {self.table}"
            f" ({self.key}, payload, visible, claimed, attempts)"
            f" SELECT %s, package, {self.now} + %s, 0, 0 FROM given RETURNING id",
            [*packages, self.queue, delay],
        )
        return sorted(id for (id,) in cursor.fetchall())

    def claim(self, cursor: CursorWrapper, limit: int, lease: float) -> list[Claimed]:
        visible = (
            f"FROM {self.table} WHERE {self.key} = %s AND visible <= {self.now}"
            " ORDER BY visible, id LIMIT %s"
        )
        # A look first: an UPDATE takes the only write lock even to find nothing.
        cursor.execute(f"SELECT 1 {visible}", [self.queue, 1])
        if cursor.fetchone() is None:
            return []
        cursor.execute(
            f"UPDATE {self.table} SET visible = {self.now} + %s, claimed = 1,"
            f" attempts = attempts + 1 WHERE id IN (SELECT id {visible})"
            " RETURNING id, payload, attempts",
            [lease, self.queue, limit],
        )
        return sorted(cursor.fetchall())

    def put_stat(
        self, cursor: CursorWrapper, key: str, value: bytes, ttl: float
    ) -> None:
        cursor.execute(
            f"INSERT INTO {self.stats} ({self.key}, value, expires)"
            f" VALUES (%s, %s, {self.now} + %s) ON CONFLICT ({self.key}) DO UPDATE"
            " SET value = excluded.value, expires = excluded.expires",
            [key, value, ttl],
        )

    def waiter(self, poll: float) -> Waiter:
        return FileWatch(self.connection, poll)

    def refusal(self) -> str | None:
        if sqlite3.sqlite_version_info >= OLDEST:
            return None
        return f"SQLite {sqlite3.sqlite_version}; the queue needs 3.35 or newer"

    def is_busy(self, error: BaseException) -> bool:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in (BUSY, LOCKED)

    def is_unmigrated(self, error: BaseException) -> bool:
        text = str(error)
        return any(
            sign in text for sign in ("no such table", "no such column", "no column named")
        )


class FileWatch:
    """Looks every few milliseconds whether anybody else has written to the file.

    ``PRAGMA data_version`` reads a counter, in shared memory in WAL mode, and takes no
    lock that a writer waits for. Packages that become visible by the clock change no
    file, so a pause is never longer than ``poll`` seconds.
    """

    def __init__(self, connection: BaseDatabaseWrapper, poll: float) -> None:
        self._connection = connection
        self._poll = poll
        self._longest = poll / LOOKS_PER_POLL
        self._seen: int | None = None
        self.found()

    def mark(self) -> None:
        self._seen = self._version()

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + min(seconds, self._poll)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._next))
            self._next = min(self._longest, self._next * GROWTH)
            version = self._version()
            if version is None or version != self._seen:
                return

    def found(self) -> None:
        self._next = min(self._longest, FIRST_PAUSE)

    def close(self) -> None:
        """The connection is Django's, and stays open."""

    def _version(self) -> int | None:
        """Return the version; None where only a claim can tell what is wrong."""
        # Django's cursor would cost more than the look itself.
        connection = self._connection.connection
        if connection is None:
            return None
        try:
            row = connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        version: int = row[0]
        return version
