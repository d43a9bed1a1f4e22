"""The recorder of the charts: adds up what has ended, and writes a row for each minute.

Runs in: the dispatcher; ``add`` in the thread that stores results, the rest in a thread of
its own. So a database that does not answer holds up nothing but the charts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from django.db import (
    DataError,
    Error,
    IntegrityError,
    connections,
    router,
    transaction,
)
from django.db.models import F

from qcore.masking import mask_url

from . import backfill
from .models import Minute

if TYPE_CHECKING:
    from qcore import Result

logger = logging.getLogger("qcore.dashboard")

#: Seconds between two writes: a chart of minutes need not be fresher, and a queue that
#: ends thousands of tasks in a second writes no more than one that ends one.
PAUSE = 10.0
#: Minutes that are kept: two days.
KEPT = 2 * 24 * 60
#: Seconds that the last write may take, when a cluster stops.
_END = 0.5
#: Seconds between two looks for old rows.
_TIDY = 3600.0

_COLUMNS = ("succeeded", "failed", "run_seconds", "begun", "wait_seconds")


class Recorder:
    """Counts what one cluster has ended.

    Args:
        queue: of the cluster.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._lock = Lock()
        self._minutes: dict[int, list[float]] = {}
        self._began = int(time.time() // 60)
        self._has_looked_back = False
        self._tidied = float("-inf")
        self._is_told = False
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="qcore charts", daemon=True)

    def start(self) -> None:
        """Write from now on, every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Write the rest, unless that takes long."""
        self._stopping.set()
        self._thread.join(_END)

    def add(self, results: Sequence[Result]) -> None:
        """Count a batch."""
        with self._lock:
            for result in results:
                self._count(result)

    def _count(self, result: Result) -> None:
        sums = self._minutes.setdefault(int(result.stopped // 60), [0.0] * 5)
        sums[0 if result.success else 1] += 1
        # clocks that disagree may give negative times
        sums[2] += max(0.0, result.stopped - result.started)
        if result.attempt == 1:
            sums[3] += 1
            sums[4] += max(0.0, result.started - result.task.created)

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE):
            self._once()
        self._once()
        self._close()

    def _once(self) -> None:
        """Write, and end no thread: whatever happens, the next counts may be written."""
        try:
            if not self.write():
                self._close()  # a cluster at rest needs no connection
        except Exception:
            logger.exception("the dashboard cannot write its counts")

    def _close(self) -> None:
        try:
            connections[router.db_for_write(Minute)].close()
        except Exception as error:  # noqa: BLE001 - a broken connection counts as closed
            logger.warning("a connection of the dashboard is not closed: %s", error)

    def write(self) -> bool:
        """Write what has been counted; return whether there was anything."""
        with self._lock:
            taken, self._minutes = self._minutes, {}
        if not taken:
            return False
        try:
            database = router.db_for_write(Minute)
            self._look_back(database)
            for minute in sorted(taken):
                self._write_or_drop(database, minute, taken[minute])
                del taken[minute]
            self._tidy(database)
        except Error as error:
            self._tell(error)
            connection = connections[database]
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
        else:
            self._is_told = False
        finally:
            self._keep(taken)
        return True

    def _look_back(self, database: str) -> None:
        """Count what ended before the dashboard was there; tried once, for charts alone.

        A cluster that stops has no time for it.
        """
        if self._has_looked_back or self._stopping.is_set():
            return
        self._has_looked_back = True
        try:
            backfill.fill(database, self._queue, self._began)
        except Exception as error:  # noqa: BLE001 - the counts are written all the same
            logger.warning(
                "the charts do not show what ended before the cluster began: %s: %s",
                type(error).__name__, mask_url(str(error)),
            )  # fmt: skip

    def _write_or_drop(self, database: str, minute: int, sums: list[float]) -> None:
        """Write a minute. One that can never be written keeps no other from it.

        Raises:
            Error: the database is away.
        """
        try:
            self._write_minute(database, minute, sums)
        except (DataError, IntegrityError) as error:
            self._drop(minute, error)
        except Error:
            raise
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            self._drop(minute, error)

    def _drop(self, minute: int, error: Exception) -> None:
        logger.error(
            "minute %d is missing in the charts, for the database refuses it: %s: %s",
            minute, type(error).__name__, mask_url(str(error)),
        )  # fmt: skip

    def _tell(self, error: Exception) -> None:
        if not self._is_told:
            logger.warning(
                "the dashboard cannot write its counts: %s", mask_url(str(error))
            )
        self._is_told = True

    def _write_minute(self, database: str, minute: int, sums: list[float]) -> None:
        rows = Minute.objects.using(database).filter(minute=minute, queue=self._queue)
        changes = {
            name: F(name) + value for name, value in zip(_COLUMNS, sums, strict=True)
        }
        if rows.update(**changes):
            return
        values = dict(zip(_COLUMNS, sums, strict=True))
        try:
            with transaction.atomic(database):
                Minute.objects.using(database).create(
                    minute=minute, queue=self._queue, **values
                )
        except IntegrityError:  # another cluster of the queue was faster
            rows.update(**changes)

    def _keep(self, taken: dict[int, list[float]]) -> None:
        """Take counts back that were not written, those of the newest minutes."""
        with self._lock:
            for minute, sums in taken.items():
                mine = self._minutes.setdefault(minute, [0.0] * 5)
                mine[:] = [one + more for one, more in zip(mine, sums, strict=True)]
            for minute in sorted(self._minutes)[:-KEPT]:
                del self._minutes[minute]

    def _tidy(self, database: str) -> None:
        if time.monotonic() - self._tidied < _TIDY:
            return
        self._tidied = time.monotonic()
        oldest = int(time.time() // 60) - KEPT
        Minute.objects.using(database).filter(minute__lt=oldest).delete()
