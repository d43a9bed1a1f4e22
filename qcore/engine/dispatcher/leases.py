"""Runs in: the dispatcher's loop. Keeps what is no longer ours from going on.

Where leases are renewed, a lease that ends is lost: the broker has said so, or it could
not be reached until the end. Another cluster may run the task by then, so ours is
stopped and its end is not recorded. Where the project sets the lease (``retry``) and
nothing renews it, a task may outlive it, as documented, and nothing here applies.
"""

from __future__ import annotations

from .job import Job
from .pool import WorkerHandle, WorkerPool
from .ready import ReadyQueue
from .state import SharedState


class Leases:
    """Finds the jobs of workers whose lease was lost.

    A look at the workers is due when the soonest known lease ends, and at once after
    ``alarm``: assigning a job costs two comparisons.

    Args:
        shared: what the threads share.
        ready: wakes the loop.
    """

    def __init__(self, shared: SharedState, ready: ReadyQueue) -> None:
        self._shared = shared
        self._ready = ready
        self._at: float | None = None  # monotonic; None: no worker has a job
        self._alarmed = False

    def alarm(self) -> None:
        """Have the loop look for a job that was marked as lost; for any thread."""
        self._alarmed = True
        self._ready.wake()

    def watch(self, job: Job) -> None:
        """Note that a worker has got a job."""
        if job.lost:  # while it lay ahead for that worker: the alarm was before this
            self._alarmed = True
        if self._at is None or job.lease_end < self._at:
            self._at = job.lease_end

    def next(self) -> float | None:
        """Return when the next look is due, on the monotonic clock, or None."""
        return self._at if self._shared.renewing else None

    def has_lost(self, job: Job, now: float) -> bool:
        """Whether a job is not ours any more; it never is again."""
        if self._shared.renewing and job.lease_end <= now:
            job.lost = True
        return job.lost

    def lost_jobs(self, pool: WorkerPool, now: float) -> list[tuple[WorkerHandle, Job]]:
        """Return, once, the workers with a job that was lost, and which job."""
        at = self.next()
        if not self._alarmed and (at is None or now < at):
            return []
        self._alarmed = False  # before the look: what is marked during it comes next
        lost = []
        ends = []
        for worker in pool.busy():
            job = worker.job
            assert job is not None
            if job.killed is not None:
                continue
            if self.has_lost(job, now):
                lost.append((worker, job))
            else:
                ends.append(job.lease_end)
        self._at = min(ends, default=None)
        return lost
