"""Queues and messages in an SQLite file, and who waits for them."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (
    name TEXT PRIMARY KEY,
    message_timeout INTEGER NOT NULL DEFAULT 60,
    message_expiration INTEGER NOT NULL DEFAULT 604800,
    total_messages INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS message (
    id TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    place INTEGER NOT NULL,       -- the lowest is at the front
    body TEXT NOT NULL,
    reserved_count INTEGER NOT NULL DEFAULT 0,
    reservation TEXT,             -- of who holds it
    until REAL NOT NULL,          -- hidden or held so long
    expires REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_place ON message (queue, place);
"""


class NotFound(Exception):
    """There is no such queue or message: status 404."""


class Refused(Exception):
    """A reservation is missing, over or another's: status 403."""


class Store:
    """All queues; its methods may be called by several threads.

    Args:
        path: of the file; what a method has returned for is in it, a kill regardless.
        pace: seconds that the clock counts while one goes by.
    """

    def __init__(self, path: Path, pace: float) -> None:
        self._pace = pace
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        # The kernel has what was written when a process is killed; only a power cut
        # would need more.
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(SCHEMA)
        self._changed = threading.Condition(threading.RLock())

    def _now(self) -> float:
        # by the wall: the file outlives the process, and its monotonic clock
        return time.time() * self._pace

    # -- queues ------------------------------------------------------------
    def create(self, queue: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Make a queue, or change its settings; return it without its sizes."""
        with self._changed:
            self._db.execute("INSERT OR IGNORE INTO queue (name) VALUES (?)", [queue])
            for name in ("message_timeout", "message_expiration"):
                if name in settings:
                    self._db.execute(
                        f"UPDATE queue SET {name} = ? WHERE name = ?",
                        [settings[name], queue],
                    )
            told = self.describe(queue)
            del told["size"], told["total_messages"]
            return told

    def describe(self, queue: str) -> dict[str, Any]:
        """Return settings and sizes."""
        with self._changed:
            row = self._db.execute(
                "SELECT * FROM queue WHERE name = ?", [queue]
            ).fetchone()
            if row is None:
                raise NotFound("Queue not found")
            (size,) = self._db.execute(
                "SELECT count(*) FROM message WHERE queue = ?", [queue]
            ).fetchone()
            return {**dict(row), "size": size, "type": "pull"}

    def delete_queue(self, queue: str) -> None:
        """Remove a queue and its messages."""
        with self._changed:
            self.clear(queue)
            self._db.execute("DELETE FROM queue WHERE name = ?", [queue])

    def clear(self, queue: str) -> None:
        """Remove the messages, those that are held included."""
        with self._changed:
            self.describe(queue)
            self._db.execute("DELETE FROM message WHERE queue = ?", [queue])

    # -- messages ------------------------------------------------------------
    def post(self, queue: str, messages: Sequence[tuple[str, int]]) -> list[str]:
        """Store bodies with their delays; make the queue where it is missing."""
        with self._changed, self._db:
            self._db.execute("BEGIN")
            self.create(queue, {})
            expiration = self.describe(queue)["message_expiration"]
            ids = [str(secrets.randbits(63)) for _ in messages]
            place = self._last_place(queue)
            now = self._now()
            for at, (id, (body, delay)) in enumerate(zip(ids, messages, strict=True)):
                self._db.execute(
                    "INSERT INTO message (id, queue, place, body, until, expires)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    [id, queue, place + at + 1, body, now + delay, now + expiration],
                )
            self._db.execute(
                "UPDATE queue SET total_messages = total_messages + ? WHERE name = ?",
                [len(ids), queue],
            )
            self._changed.notify_all()
            return ids

    def reserve(
        self, queue: str, count: int, timeout: int, wait: int
    ) -> list[dict[str, Any]]:
        """Hold up to ``count`` messages; wait for the first one."""
        with self._changed:
            deadline = self._now() + wait
            while True:
                self.describe(queue)  # it may be deleted meanwhile
                found = self._take(queue, count, timeout)
                left = deadline - self._now()
                if found or left <= 0:
                    return found
                self._changed.wait(min(left, self._next_change(queue)) / self._pace)

    def _take(self, queue: str, count: int, timeout: int) -> list[dict[str, Any]]:
        self._clean(queue)
        now = self._now()
        rows = self._db.execute(
            "SELECT id FROM message WHERE queue = ? AND reservation IS NULL"
            " AND until <= ? ORDER BY place LIMIT ?",
            [queue, now, count],
        ).fetchall()
        for row in rows:
            self._hold(row["id"], now + timeout)
            self._db.execute(
                "UPDATE message SET reserved_count = reserved_count + 1 WHERE id = ?",
                [row["id"]],
            )
        return [self._tell(row["id"], held=True) for row in rows]

    def _hold(self, id: str, until: float) -> str:
        reservation = secrets.token_hex(16)
        self._db.execute(
            "UPDATE message SET reservation = ?, until = ? WHERE id = ?",
            [reservation, until, id],
        )
        return reservation

    def touch(self, queue: str, id: str, reservation: str, timeout: int) -> str:
        """Hold a message anew, and return the new reservation."""
        with self._changed:
            self._check(queue, id, reservation)
            return self._hold(id, self._now() + timeout)

    def release(self, queue: str, id: str, reservation: str, delay: int) -> None:
        """Put a message back to the front."""
        with self._changed:
            self._check(queue, id, reservation)
            self._put_back(queue, id, self._now() + delay)
            self._changed.notify_all()

    def delete(self, queue: str, id: str, reservation: str | None) -> None:
        """Remove a message; one that is held only by who holds it."""
        with self._changed:
            self._check(queue, id, reservation)
            self._db.execute("DELETE FROM message WHERE id = ?", [id])

    def get(self, queue: str, id: str) -> dict[str, Any]:
        """Return one message."""
        with self._changed:
            self._find(queue, id)
            return self._tell(id, held=False)

    def peek(self, queue: str, count: int) -> list[dict[str, Any]]:
        """Return the messages at the front that nobody holds."""
        with self._changed:
            self.describe(queue)
            self._clean(queue)
            rows = self._db.execute(
                "SELECT id FROM message WHERE queue = ? AND reservation IS NULL"
                " AND until <= ? ORDER BY place LIMIT ?",
                [queue, self._now(), count],
            )
            return [self._tell(row["id"], held=False) for row in rows.fetchall()]

    # -- parts -----------------------------------------------------------------
    def _find(self, queue: str, id: str) -> sqlite3.Row:
        self.describe(queue)
        self._clean(queue)
        row = self._db.execute(
            "SELECT * FROM message WHERE queue = ? AND id = ?", [queue, id]
        ).fetchone()
        if row is None:
            raise NotFound("Message not found")
        found: sqlite3.Row = row
        return found

    def _check(self, queue: str, id: str, reservation: str | None) -> None:
        held = self._find(queue, id)["reservation"]
        if held == reservation:
            return
        if reservation is None:
            raise Refused("This message has been reserved, missing reservation ID")
        raise Refused("Reservation timed out")

    def _clean(self, queue: str) -> None:
        """Put back what was held too long, and drop what has expired."""
        now = self._now()
        self._db.execute(
            "DELETE FROM message WHERE queue = ? AND expires <= ?", [queue, now]
        )
        # each goes before the one that went back earlier; of those that were taken
        # together, the first is put back last
        rows = self._db.execute(
            "SELECT id FROM message WHERE queue = ? AND reservation IS NOT NULL"
            " AND until <= ? ORDER BY until, place DESC",
            [queue, now],
        ).fetchall()
        for row in rows:
            self._put_back(queue, row["id"], now)

    def _put_back(self, queue: str, id: str, until: float) -> None:
        (first,) = self._db.execute(
            "SELECT min(place) FROM message WHERE queue = ?", [queue]
        ).fetchone()
        self._db.execute(
            "UPDATE message SET reservation = NULL, place = ?, until = ? WHERE id = ?",
            [first - 1, until, id],
        )

    def _last_place(self, queue: str) -> int:
        (last,) = self._db.execute(
            "SELECT max(place) FROM message WHERE queue = ?", [queue]
        ).fetchone()
        return last or 0

    def _next_change(self, queue: str) -> float:
        """Return how long it is until a message comes free by itself, in seconds."""
        (first,) = self._db.execute(
            "SELECT min(until) FROM message WHERE queue = ?", [queue]
        ).fetchone()
        return float("inf") if first is None else max(0.0, first - self._now())

    def _tell(self, id: str, *, held: bool) -> dict[str, Any]:
        row = self._db.execute("SELECT * FROM message WHERE id = ?", [id]).fetchone()
        told = {name: row[name] for name in ("id", "body", "reserved_count")}
        return {**told, "reservation_id": row["reservation"]} if held else told
