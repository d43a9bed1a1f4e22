"""Runs in: the dispatcher's loop. Watches the workers, and has them killed.

There are three reasons: a job is over its time, it is not ours any more, or its worker
does not take it up.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

from ...conf import Conf
from ...envelope import choose
from ..wire.messages import SOFT_STOP
from .deadlines import Deadlines
from .hung import HungWorkers
from .job import Job
from .leases import Leases
from .pool import WorkerHandle, WorkerPool
from .shutdown import AFTER_SOFT

logger = logging.getLogger("qcore.dispatcher")


class Watchdog:
    """Time limits, leases and signs of life of the workers that have a job.

    Args:
        conf: the cluster's settings.
        crew: the workers.
        fence: finds the jobs that are not ours any more.
        kill: sends a signal to the worker of a pid.
        settle: takes back what lies on a worker's tray, and hears what it has said: then
            its job is the one that it does.
    """

    def __init__(
        self,
        conf: Conf,
        pool: WorkerPool,
        leases: Leases,
        kill: Callable[[int, int], None],
        settle: Callable[[WorkerHandle], None],
    ) -> None:
        self._conf = conf
        self._pool = pool
        self._leases = leases
        self._tell_to_kill = kill
        self._settle = settle
        self._deadlines = Deadlines()
        self._hung = HungWorkers()

    def begin(self, worker: WorkerHandle, job: Job, now: float) -> None:
        """Watch over a job that a worker has just got."""
        self._leases.watch(job)
        self._hung.watch(worker, now)
        seconds = self._conf.timeout
        if job.ended is None:
            seconds = choose(job.task.options.timeout, seconds)
        if seconds is not None:
            self._deadlines.add(now + seconds + self._conf.grace, worker, job)

    def next(self) -> list[float]:
        """Return when something may have to be done, on the monotonic clock."""
        moments = (self._deadlines.next(), self._leases.next(), self._hung.next())
        return [moment for moment in moments if moment is not None]

    def keep(self, now: float) -> None:
        """Do what is due."""
        for worker, job in self._deadlines.passed(now):
            # what was told to stop, and has not, keeps the reason of that
            self._kill(worker, job, signal.SIGKILL, job.killed or "timeout")
        for worker, job in self._leases.lost_jobs(self._pool, now):
            if self._kill(worker, job, SOFT_STOP, "lost"):
                func, id = job.task.func, job.task.id
                logger.warning("%s id=%s has no lease: stopped", func, id)
                self._deadlines.add(now + AFTER_SOFT, worker, job)
        for worker, job in self._hung.found(self._pool, now):
            logger.warning("worker %d does not take its order: replaced", worker.pid)
            self._kill(worker, job, signal.SIGKILL, "hung")

    def _kill(self, worker: WorkerHandle, job: Job, number: int, why: str) -> bool:
        """Have a worker killed for its job; return False where it has that no more."""
        self._settle(worker)
        if worker.job is not job:
            return False  # this one has ended
        job.killed = why
        # should its task end by itself after all, this must not hit the next one
        worker.ending = True
        self._tell_to_kill(worker.pid, number)
        return True
