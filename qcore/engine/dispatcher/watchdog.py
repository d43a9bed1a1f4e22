"""Runs in: the dispatcher's loop. Which worker has to be killed, and when.

There are three reasons: a job has run past its deadline, the lease of a job was lost, or
a worker does not read its order.
"""

from __future__ import annotations

import heapq
import itertools
import signal
from typing import NamedTuple

from msgspec import UNSET

from ...conf import Conf
from ..wire.messages import SOFT_STOP
from .job import Job, KillReason
from .leases import Leases
from .pool import WorkerHandle, WorkerPool
from .shutdown import AFTER_SOFT

#: Seconds that a worker has to read its order; one that lives needs microseconds.
_LONGEST = 5.0


class Overdue(NamedTuple):
    """A worker that has to be stopped for its job."""

    worker: WorkerHandle
    job: Job
    reason: KillReason
    signal: int


class Watchdog:
    """Time limits, leases and signs of life of the workers that have a job.

    The watchdog says what is overdue. The loop makes sure that the worker is at this job
    still, and has the sentinel send the signal.

    Args:
        conf: the cluster's settings.
        pool: the workers.
        leases: finds the jobs whose lease was lost.
    """

    def __init__(self, conf: Conf, pool: WorkerPool, leases: Leases) -> None:
        self._conf = conf
        self._pool = pool
        self._leases = leases
        self._deadlines = Deadlines()
        self._hung = HungWorkers()

    def begin(self, worker: WorkerHandle, job: Job) -> None:
        """Watch over a job that a worker has just begun."""
        self._leases.watch(job)
        self._hung.watch(worker, job.assigned_at)
        seconds = self._conf.timeout
        if job.ended is None and (own := job.task.options.timeout) is not UNSET:
            seconds = own
        if seconds is not None:
            limit = job.assigned_at + seconds + self._conf.grace
            self._deadlines.add(limit, worker, job)

    def cancel(self, worker: WorkerHandle, job: Job, now: float) -> None:
        """Watch over a job that was told to end for good: it has ``grace`` seconds."""
        self._deadlines.add(now + self._conf.grace, worker, job)

    def next(self) -> list[float]:
        """Return when something may have to be done, on the monotonic clock."""
        moments = (self._deadlines.next(), self._leases.next(), self._hung.next())
        return [moment for moment in moments if moment is not None]

    def due(self, now: float) -> list[Overdue]:
        """Return what is overdue, each job once."""
        found = {}
        for worker, job in self._deadlines.passed(now):
            # what was told to stop, and has not, keeps the reason of that
            reason = job.killed or KillReason.TIMEOUT
            found[job] = Overdue(worker, job, reason, signal.SIGKILL)
        for worker, job in self._leases.lost_jobs(self._pool, now):
            if job not in found:
                found[job] = Overdue(worker, job, KillReason.LOST, SOFT_STOP)
                self._deadlines.add(now + AFTER_SOFT, worker, job)
        for worker, job in self._hung.found(self._pool, now):
            if job not in found:
                found[job] = Overdue(worker, job, KillReason.HUNG, signal.SIGKILL)
        return list(found.values())


class Deadlines:
    """The hard time limits of running jobs, soonest first, on the monotonic clock.

    Entries are not removed when a job ends in time, only skipped when their moment
    comes: that is cheaper than searching the heap for each.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, WorkerHandle, Job]] = []
        self._count = itertools.count()  # breaks ties; workers do not compare

    def add(self, when: float, worker: WorkerHandle, job: Job) -> None:
        """Note a limit."""
        heapq.heappush(self._heap, (when, next(self._count), worker, job))

    def next(self) -> float | None:
        """Return when the soonest limit of a job that still runs is, or None."""
        while self._heap and self._heap[0][2].job is not self._heap[0][3]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def passed(self, now: float) -> list[tuple[WorkerHandle, Job]]:
        """Return the jobs that still run and whose limit has passed; each once."""
        found = []
        while (when := self.next()) is not None and when <= now:
            _, _, worker, job = heapq.heappop(self._heap)
            found.append((worker, job))
        return found


class HungWorkers:
    """Finds the workers that have left an order unread for long.

    A stopped worker (SIGSTOP, a debugger, a frozen control group) exists, and its socket is
    open. Only its order stays unread. The kernel tells how much is unread, so the worker
    need not confirm its order, which would cost a system call and a wake-up per task.
    """

    def __init__(self, longest: float = _LONGEST) -> None:
        self._longest = longest
        self._at: float | None = None  # monotonic; None: nothing to look for

    def watch(self, worker: WorkerHandle, now: float) -> None:
        """Note that a worker has got an order."""
        worker.order_read = False
        if self._at is None:
            self._at = now + self._longest

    def next(self) -> float | None:
        """Return when the next look is due, on the monotonic clock, or None."""
        return self._at

    def found(self, pool: WorkerPool, now: float) -> list[tuple[WorkerHandle, Job]]:
        """Return the workers whose order is old and unread, with the job of the order."""
        if self._at is None or now < self._at:
            return []
        silent = []
        young = []
        for worker in pool.busy():
            job = worker.job
            assert job is not None
            if worker.order_read or job.killed is not None:
                continue
            due = job.assigned_at + self._longest
            if due > now:
                young.append(due)
            elif worker.channel.is_unread():
                silent.append((worker, job))
            else:
                worker.order_read = True
        self._at = min(young, default=None)
        return silent
