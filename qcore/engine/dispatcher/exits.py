"""Runs in: the dispatcher's loop. How workers died, matched to what they were doing.

A death is heard of twice: the worker's link closes, and the sentinel says what waitpid
gave it. Where the link is closed first, the worker waits here for that word: until its
process is known dead, its task may be running, and nobody else may have it. A process
that does not end is killed, for a task can close the link, too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..system.process import how_it_died
from .job import Job
from .pool import WorkerHandle

#: Seconds that a worker may live after its link has closed, with a job and without one:
#: one that dies is reaped within milliseconds, one that ends in order still has hooks of
#: plugins to call and failures to report.
_WITH_A_JOB, _WITHOUT = 0.5, 15.0
#: Seconds between two kills of one process, until it is dead.
_AGAIN = 2.0


@dataclass(slots=True)
class _Gone:
    """A worker whose link has closed, and which is not known to be dead."""

    worker: WorkerHandle
    kill_at: float  # monotonic


class Exits:
    """Workers that have gone, and of which it is not known yet how they died."""

    def __init__(self) -> None:
        self._gone: dict[int, _Gone] = {}  # by pid

    def __len__(self) -> int:
        """Return how many jobs wait to learn how their worker died."""
        return sum(
            (gone.worker.job is not None) + len(gone.worker.ahead)
            for gone in self._gone.values()
        )

    def gone(self, worker: WorkerHandle, *, at_once: bool = False) -> None:
        """Note that the link of a worker has closed.

        Args:
            hand: the worker.
            at_once: it is to be killed without waiting for its end.
        """
        wait = _WITHOUT if worker.job is None else _WITH_A_JOB
        wait = 0.0 if at_once else wait
        self._gone[worker.pid] = _Gone(worker, time.monotonic() + wait)

    def died(
        self, pid: int, status: int
    ) -> tuple[WorkerHandle, Job | None, str] | None:
        """Return a worker that waited for this, its job, and how it died."""
        gone = self._gone.pop(pid, None)
        if gone is None:
            return None
        job = gone.worker.job
        ours = job is not None and job.killed is not None
        return gone.worker, job, how_it_died(status, ours=ours, rss=gone.worker.rss)

    def next(self) -> float | None:
        """Return when the next one is to be killed, on the monotonic clock."""
        return min((gone.kill_at for gone in self._gone.values()), default=None)

    def undead(self, now: float) -> list[WorkerHandle]:
        """Return the workers that have gone and should be dead by now; each ever again."""
        late = [gone for gone in self._gone.values() if gone.kill_at <= now]
        for gone in late:
            gone.kill_at = now + _AGAIN
        return [gone.worker for gone in late]
