"""Runs in: the dispatcher's loop. What becomes of the job of a worker that has died."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from ..services import Services
from .job import MAX_HOOK_CRASHES, Job
from .leases import Leases
from .pool import WorkerHandle
from .recorder import Recorder
from .state import SharedState

logger = logging.getLogger("qcore.dispatcher")


class Deaths:
    """Records, gives back or deals anew what a dead worker was doing.

    Args:
        parts: what the cluster is made of.
        tally: what the threads share.
        fence: tells which jobs are not ours any more.
        recorder: ended jobs go there.
        again: puts a job in front of all that wait for a worker.
        report: tells error reporters of a death, and returns at once.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        leases: Leases,
        recorder: Recorder,
        again: Callable[[Job], None],
        report: Callable[..., None],
    ) -> None:
        self._services = services
        self._shared = shared
        self._leases = leases
        self._recorder = recorder
        self._again = again
        self._report = report

    def record_death(self, worker: WorkerHandle, job: Job | None, how: str) -> None:
        """Say what becomes of the jobs of a worker whose process is dead.

        Args:
            hand: the worker.
            job: what it was doing.
            how: it died, for people.
        """
        worker.job = None
        while (
            worker.ahead
        ):  # it had them in its hands, behind this job, and had not begun
            self._again(worker.ahead.pop())
        if job is not None:
            self._end(worker, job, how)

    def _end(self, worker: WorkerHandle, job: Job, how: str) -> None:
        if self._leases.has_lost(job, time.monotonic()):
            self.drop(job)
        elif job.killed == "hung":
            job.killed = None
            self._again(job)
        elif job.killed == "stop":
            self._recorder.give_back(job)
        elif job.ended is not None:
            self._after_follow_up(job, how)
        else:
            self._record(worker, job, how)

    def drop(self, job: Job) -> None:
        """Forget a job that is not ours any more: whoever has it says how it ended."""
        logger.warning("the lease of %s was lost; its end is not recorded", job.task.id)
        self._shared.settle(job)

    def _record(self, worker: WorkerHandle, job: Job, how: str) -> None:
        ended = job.ended_by_death(how)
        self._report(
            job.task,
            job.attempt,
            ended.outcome,
            ended.text,
            f"{socket.gethostname()}:{worker.pid}",
            None,
        )
        self._recorder.record(job)

    def _after_follow_up(self, job: Job, how: str) -> None:
        """Try a follow-up once more; a hook that kills twice is given up.

        The chain goes on without the hook: no order to make the next link calls the hook
        then. If workers die all the same, the delivery is left to its lease.
        """
        job.follow_up_crashes += 1
        logger.error("the follow-up of %s killed its worker: %s", job.task.id, how)
        if not job.hook_is_given_up:
            self._again(job)
        elif not job.owes_link:
            self._recorder.finish(job)
        elif job.follow_up_crashes < 2 * MAX_HOOK_CRASHES:
            self._again(job)
        else:
            logger.error(
                "the next link of %s is missing; the delivery is left to its lease",
                job.task.id,
            )
            self._shared.settle(job)
