"""How a change of an SQLite file wakes those who wait for it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .inotify import FileEvents
from .waiting import Look, Polling, Rest

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("qcore.orm")

#: Seconds between looks after a write: SQLite writes to its file first, syncs it, and
#: makes the transaction visible last. On a slow disk the next poll finds it.
SETTLING = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016)
#: Without inotify: looks in each `poll`. A look takes 20 µs with its sleep where
#: waking is cheap, and ten in 0.2 s are then 1 ms of processor time in a second.
LOOKS_PER_POLL = 10


class FileWatch:
    """Wakes when any process has written to the database file or its log.

    What becomes visible by the clock changes no file, so there is a look when the next
    package does. Where the system has no inotify, looks are made more often.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, look: Look, poll: float
    ) -> None:
        self._connection = connection
        self._look = look
        self._rest = Rest(look, poll)
        self._polling = Polling(look, poll / LOOKS_PER_POLL)
        self._events: FileEvents | None = None
        self._tried = False

    def mark(self) -> None:
        if self._events is not None and self._events.drain():
            self._rest.announced()

    def pause(self, seconds: float) -> bool:
        if self._events is not None and self._events.stale:
            self.close()
        if not self._tried:
            self._watch()
            if self._rest.look():  # written before the watch began
                return True
        if self._events is None:
            return self._polling.pause(seconds)
        return self._wait(self._events, seconds)

    def _wait(self, events: FileEvents, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not events.wait(min(left, self._rest.left())):
                if self._rest.look_if_due():
                    return True
                continue
            self._rest.announced()
            for settling in SETTLING:
                time.sleep(settling)
                if self._rest.look():
                    return True
        return False

    def found(self) -> None:
        self._polling.found()

    def close(self) -> None:
        events, self._events = self._events, None
        self._tried = False
        if events is not None:
            events.close()

    def _watch(self) -> None:
        self._tried = True
        files = self._files()
        if not files:
            return
        try:
            self._events = FileEvents(files)
        except OSError as error:
            logger.info("no inotify, looking every few milliseconds: %s", error)

    def _files(self) -> list[str]:
        """Return the database file and its write-ahead log; none for one in memory."""
        with self._connection.cursor() as cursor:
            cursor.execute("PRAGMA database_list")
            main = next(file for _, name, file in cursor.fetchall() if name == "main")
        return [file for file in (main, f"{main}-wal") if main and Path(file).exists()]
