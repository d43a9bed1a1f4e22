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

from django.db import Error, IntegrityError, connections, router, transaction
from django.db.models import F

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
            if not self.write():
                self._close()  # a cluster at rest needs no connection
        self.write()
        self._close()

    def _close(self) -> None:
        connections[router.db_for_write(Minute)].close()

    def write(self) -> bool:
        """Write what has been counted; return whether there was anything."""
        with self._lock:
            taken, self._minutes = self._minutes, {}
        if not taken:
            return False
        database = router.db_for_write(Minute)
        try:
            for minute in sorted(taken):
                self._write_minute(database, minute, taken[minute])
                del taken[minute]
            self._tidy(database)
        except Error as error:
            self._keep(taken)
            connection = connections[database]
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
            if not self._is_told:
                logger.warning("the dashboard cannot write its counts: %s", error)
            self._is_told = True
        else:
            self._is_told = False
        return True

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
