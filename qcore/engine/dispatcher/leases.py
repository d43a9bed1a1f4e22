"""Runs in: the dispatcher's loop. Finds the jobs that no longer belong to this cluster.

What a job holds, such as a place under a limit, ends like a lease. The thread that has it
renewed may hang in a database that does not answer. So the loop, which asks no service,
looks whether that was done.

If leases are renewed, a lease that ends is lost: the broker has refused to renew it, or
could not be reached. Another cluster may run the task by then. So the task is stopped, and
its end is not recorded. If the project sets a fixed lease (``retry``), a task may outlive
its lease, as documented, and this module does nothing.
"""

from __future__ import annotations

from .job import HELD, Job
from .pool import WorkerHandle, WorkerPool
from .ready import ReadyQueue
from .state import SharedState

#: Under this name, the status shows why holds are not renewed.
HOLDS = "holds"


class Leases:
    """Finds the jobs of workers whose lease was lost.

    The loop looks at the workers when the earliest known lease ends, and at once after
    ``alarm``. So the assignment of a job costs two comparisons.

    Args:
        shared: what the threads share.
        ready: wakes the loop.
    """

    def __init__(self, shared: SharedState, ready: ReadyQueue) -> None:
        self._shared = shared
        self._ready = ready
        self._at: float | None = None  # monotonic; None: no worker has a job
        self._held_until: float | None = None  # the same of what jobs hold
        self._alarmed = False

    def alarm(self) -> None:
        """Let the loop look for a job that was marked as lost; any thread may call this."""
        self._alarmed = True
        self._ready.wake()

    def watch(self, job: Job) -> None:
        """Note that a worker has got a job."""
        if job.lost:  # while it lay ahead for that worker: the alarm was before this
            self._alarmed = True
        if self._at is None or job.lease_end < self._at:
            self._at = job.lease_end
        if job.ledger is not None and job.ledger.holds:
            held = job.ledger.renewed_at + HELD
            if self._held_until is None or held < self._held_until:
                self._held_until = held

    def next(self) -> float | None:
        """Return when the next look is due, on the monotonic clock, or None."""
        at = self._at if self._shared.renewing else None
        if self._held_until is None:
            return at  # nearly always
        return self._held_until if at is None else min(at, self._held_until)

    def has_lost(self, job: Job, now: float) -> bool:
        """Whether a job was lost; a lost job never comes back to this attempt."""
        if self._shared.renewing and job.lease_end <= now:
            job.lost = True
        return job.lost

    def has_lost_hold(self, job: Job, now: float) -> bool:
        """Whether a job may have lost what it holds; it must not run then."""
        if job.ledger is not None and job.ledger.is_late(now):
            job.lost = True
        return job.lost

    def lost_jobs(self, pool: WorkerPool, now: float) -> list[tuple[WorkerHandle, Job]]:
        """Return the workers whose job was lost, with the job; each job once."""
        at = self.next()
        if not self._alarmed and (at is None or now < at):
            return []
        self._alarmed = False  # before the look: what is marked during it comes next
        lost = []
        ends = []
        held = []
        for worker in pool.busy():
            job = worker.job
            assert job is not None
            if job.killed is not None:
                continue
            # the end of a task that has ended stands, whatever the task held
            is_late = job.ended is None and self.has_lost_hold(job, now)
            if is_late and HOLDS not in self._shared.problems:
                self._shared.report_problem(
                    HOLDS, f"what {job.task.id} holds was not renewed in time"
                )
            if is_late or self.has_lost(job, now):
                lost.append((worker, job))
                continue
            ends.append(job.lease_end)
            if job.ended is None and job.ledger is not None and job.ledger.holds:
                held.append(job.ledger.renewed_at + HELD)
        self._at = min(ends, default=None)
        self._held_until = min(held, default=None)
        return lost
