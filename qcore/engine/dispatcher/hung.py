"""Runs in: the dispatcher's loop. Workers that do not take up what they were dealt.

A worker that was stopped (SIGSTOP, a debugger, a frozen control group) exists, and its
link is open; only the order stays unread. The kernel tells so without a word of the
worker, which would cost every task a system call and the loop a wake-up.
"""

from __future__ import annotations

from .job import Job
from .pool import WorkerHandle, WorkerPool

#: Seconds that a worker has to read its order; one that lives needs microseconds.
_LONGEST = 5.0


class HungWorkers:
    """Finds the workers that have left an order unread for long."""

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
        """Return the workers whose order is old and unread, and its job."""
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
