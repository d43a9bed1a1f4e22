"""Runs in: the dispatcher's loop. Which job goes to which worker, and when."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from ...envelope import Attempt, Outcome
from .job import Job
from .leases import Leases
from .pool import WorkerHandle, WorkerPool
from .prefetched import Prefetched
from .state import SharedState
from .watchdog import Watchdog

logger = logging.getLogger("qcore.dispatcher")


class Assignment:
    """Deals the jobs that wait.

    Args:
        ready: the jobs that wait, in the order in which they are dealt.
        crew: the workers.
        trays: what lies before those that are busy.
        watch: is told of each job that a worker begins.
        fence: tells which jobs are not ours any more.
        tally: what the threads share.
        record: takes jobs that have ended.
    """

    def __init__(
        self,
        ready: deque[Job],
        pool: WorkerPool,
        prefetched: Prefetched,
        watch: Watchdog,
        leases: Leases,
        shared: SharedState,
        record: Callable[[Job], None],
    ) -> None:
        self._ready = ready
        self._pool = pool
        self._prefetched = prefetched
        self._watch = watch
        self._leases = leases
        self._shared = shared
        self._record = record
        prefetched.tell(self.begin)

    def assign(self, depth: int, long: float) -> None:
        """Give every idle worker a job, and busy ones up to ``depth`` in advance.

        Args:
            depth: jobs on each tray, at most.
            long: seconds after which what lies behind a task is taken back.
        """
        self._prefetched.keep(time.monotonic(), long)
        idle = self._pool.idle
        while idle and (job := self._next()):
            worker = idle.pop()
            if (order := self._order(worker, job)) is None:
                idle.append(worker)
                continue
            if not self._pool.order(worker, order):
                self._ready.appendleft(job)  # its death will be heard of in a moment
                continue
            worker.job = job
            self.begin(worker, job)
        if depth and self._ready:
            self._fill_ahead(depth)

    def _fill_ahead(self, depth: int) -> None:
        workers = deque(self._prefetched.open(depth))
        while workers and (job := self._next()):
            worker = workers.popleft()
            if (order := self._order(worker, job)) is None:
                workers.appendleft(worker)
            elif not self._prefetched.put(worker, job, order):
                self._ready.appendleft(job)
            elif len(worker.ahead) < depth:
                workers.append(worker)

    def _order(self, worker: WorkerHandle, job: Job) -> bytes | None:
        """Return the order to do a job; one that cannot be put into words has failed."""
        try:
            return worker.order_for(job)
        except Exception as error:
            logger.exception(
                "%s cannot be assigned to a worker; stored as a failure", job.task.id
            )
            now = time.time()
            text = f"{type(error).__name__}: the task cannot be assigned to a worker: {error}"
            value = text.encode(errors="replace")
            job.ended = Attempt(Outcome.FAILURE, value, "text", now, now)
            self._record(job)
            return None

    def begin(self, worker: WorkerHandle, job: Job) -> None:
        """Take the time of a job from now on."""
        job.assigned_at = time.monotonic()
        self._watch.begin(worker, job, job.assigned_at)

    def withdraw(self, *, begun: bool) -> Iterator[Job]:
        """Yield what is not to be dealt any more; without ``begun``, follow-ups stay."""
        self._prefetched.recall_all()
        for _ in range(len(self._ready)):
            job = self._ready.popleft()
            if begun or job.ended is None:
                yield job
            else:
                self._ready.append(job)

    def _next(self) -> Job | None:
        """Return the next job that may begin, and note that it does."""
        while self._ready:
            job = self._ready.popleft()
            if self._may_begin(job, time.monotonic()):
                if job.ended is None:
                    self._shared.active[job.task.id] = job
                return job
            self._shared.settle(job)
        return None

    def _may_begin(self, job: Job, now: float) -> bool:
        """Whether a delivery is still ours, and not a copy of one that runs already."""
        if job.ended is not None:
            return not self._leases.has_lost(job, now)
        if job.lost or job.lease_end <= now:
            # somebody else has it, or will in a moment: two would run
            logger.info("%s waited longer than its lease; left", job.task.id)
            return False
        other = self._shared.active.get(job.task.id)
        if other is None or other is job or other.lost or other.lease_end <= now:
            return True
        logger.info("%s was delivered twice; one of them is left", job.task.id)
        return False
