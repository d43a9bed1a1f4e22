"""Runs in: the dispatcher's loop. Which job goes to which worker, and when."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator

from ...envelope import Attempt, Outcome
from ...tasks.moments import expired
from .job import Job
from .leases import Leases
from .lifecycle import JobState
from .pool import WorkerHandle, WorkerPool
from .prefetched import Prefetched
from .ready import ReadyQueue
from .recorder import Recorder
from .state import SharedState

logger = logging.getLogger("qcore.dispatcher")


class Assignment:
    """Gives the jobs that wait to workers.

    Args:
        ready: the jobs that wait, in the order in which they are assigned.
        pool: the workers.
        prefetched: the jobs that lie ahead for busy workers.
        leases: tells whose lease was lost.
        shared: what the threads share.
        recorder: jobs that have ended go there.
    """

    def __init__(
        self,
        ready: ReadyQueue,
        pool: WorkerPool,
        prefetched: Prefetched,
        leases: Leases,
        shared: SharedState,
        recorder: Recorder,
    ) -> None:
        self._ready = ready
        self._pool = pool
        self._prefetched = prefetched
        self._leases = leases
        self._shared = shared
        self._recorder = recorder

    def assign(self, depth: int, long: float) -> None:
        """Give every idle worker a job, and busy ones up to ``depth`` in advance.

        Args:
            depth: jobs in each prefetch queue, at most.
            long: seconds after which what lies behind a task is taken back.
        """
        self._prefetched.keep(time.monotonic(), long)
        idle = self._pool.idle
        while idle and (job := self._next()):
            worker = idle.pop()
            if (order := self._order(worker, job)) is None:
                idle.append(worker)
            elif self._pool.order(worker, order):
                self._pool.begin(worker, job)
            else:
                self._ready.prepend(job)  # the loop hears of its death in a moment
        if depth and self._ready:
            self._fill_ahead(depth)

    def _fill_ahead(self, depth: int) -> None:
        workers = deque(self._prefetched.open(depth))
        while workers and (job := self._next()):
            worker = workers.popleft()
            if (order := self._order(worker, job)) is None:
                workers.appendleft(worker)
            elif not self._prefetched.put(worker, job, order):
                self._ready.prepend(job)
            elif len(worker.ahead) < depth:
                workers.append(worker)

    def _order(self, worker: WorkerHandle, job: Job) -> bytes | None:
        """Return the order to do a job; a job whose order cannot be written has failed."""
        try:
            return worker.order_for(job)
        except Exception as error:
            logger.exception(
                "%s cannot be assigned to a worker; stored as a failure", job.task.id
            )
            text = f"{type(error).__name__}: the task cannot be assigned to a worker: {error}"
            job.ended = Attempt.failed(Outcome.FAILURE, text)
            self._recorder.record(job)
            return None

    def withdraw(self, *, follow_ups: bool) -> Iterator[Job]:
        """Yield the jobs that are not to be assigned any more.

        Args:
            follow_ups: also the jobs whose task has ended.
        """
        self._prefetched.recall_all()
        yield from self._ready.withdraw(follow_ups=follow_ups)

    def _next(self) -> Job | None:
        """Return the next job that may begin, and note that it does."""
        active = self._shared.active
        while (job := self._ready.take()) is not None:
            task, now = job.task, time.monotonic()
            if (exit := self._exit(job, now)) is not None:
                self._shared.settle(job, exit)
                continue
            if job.ended is None:
                if job.cancelled:
                    job.end_as_cancelled()
                    self._recorder.record(job)
                    continue
                # it may have expired while it waited here
                if task.expires is not None and (end := expired(task)):
                    job.ended = end
                    self._recorder.record(job)
                    continue
                active[task.id] = job
            return job
        return None

    def _exit(self, job: Job, now: float) -> JobState | None:
        """Return why a job may not begin; None where it may.

        Its delivery must be ours, and the same task must not run here already.
        """
        if job.ended is not None:
            return JobState.LOST if self._leases.has_lost(job, now) else None
        if (
            job.lost
            or job.lease_end <= now
            or (job.ledger is not None and self._leases.has_lost_hold(job, now))
        ):
            # another cluster has the task, or gets it soon: it would run twice
            logger.info(
                "%s waited longer than its lease, or than it may hold what its plugins"
                " gave it; it is left to the broker",
                job.task.id,
            )
            return JobState.LOST
        other = self._shared.active.get(job.task.id)
        if other is None or other is job or other.lost or other.lease_end <= now:
            return None
        if other.task.gen < job.task.gen:
            return None  # another cluster has sent the task again: that package counts
        logger.info(
            "%s was delivered twice; this delivery is left to its lease", job.task.id
        )
        return JobState.LEFT
