"""Runs in: the dispatcher's loop. When which worker has to be killed."""

from __future__ import annotations

import heapq
import itertools

from .job import Job
from .pool import WorkerHandle


class Deadlines:
    """The hard time limits of running jobs, soonest first, on the monotonic clock.

    Entries are not removed when a job ends in time, only skipped when their moment
    comes: that is cheaper than searching the heap for each.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, WorkerHandle, Job]] = []
        self._count = itertools.count()  # breaks ties; hands do not compare

    def add(self, when: float, worker: WorkerHandle, job: Job) -> None:
        """Note a limit."""
        heapq.heappush(self._heap, (when, next(self._count), worker, job))

    def next(self) -> float | None:
        """Return when the soonest limit of a job that still runs is, or None."""
        while self._heap and self._heap[0][2].job is not self._heap[0][3]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def passed(self, now: float) -> list[tuple[WorkerHandle, Job]]:
        """Return, once, the jobs that still run and whose limit has passed."""
        found = []
        while (when := self.next()) is not None and when <= now:
            _, _, worker, job = heapq.heappop(self._heap)
            found.append((worker, job))
        return found
