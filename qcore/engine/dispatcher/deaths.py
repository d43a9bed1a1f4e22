"""Runs in: the dispatcher's loop. Workers that have gone, and what becomes of their jobs.

The dispatcher learns of a death in two ways: the socket of the worker closes, and the
sentinel sends the status from waitpid. If the socket closes first, the worker waits here
for the message of the sentinel. Until the process is known to be dead, its task may still
run, and no other worker may get the task. A task can close the socket, too; so a process
that does not end is killed.
"""

from __future__ import annotations

import logging
import socket
import time

import msgspec

from ..system.process import how_it_died
from .error_reports import ErrorReports
from .job import MAX_HOOK_CRASHES, Job, KillReason
from .leases import Leases
from .lifecycle import JobState
from .pool import WorkerHandle
from .ready import ReadyQueue
from .recorder import Recorder
from .state import SharedState

logger = logging.getLogger("qcore.dispatcher")

#: Seconds that a worker may live after its socket has closed, with a job and without one:
#: one that dies is reaped within milliseconds, one that ends in order still has hooks of
#: plugins to call and failures to report.
_WITH_A_JOB, _WITHOUT = 0.5, 15.0
#: Seconds between two kills of one process, until it is dead.
_AGAIN = 2.0


class _Gone(msgspec.Struct):
    """A worker whose socket has closed, and which is not known to be dead."""

    worker: WorkerHandle
    kill_at: float  # monotonic


class Deaths:
    """Records, gives back or puts back the jobs of a dead worker.

    Args:
        shared: what the threads share.
        leases: tells whose lease was lost.
        recorder: jobs that have ended go there.
        ready: jobs that have not begun go there.
        reports: tells error reporters of a death, and returns at once.
    """

    def __init__(
        self,
        shared: SharedState,
        leases: Leases,
        recorder: Recorder,
        ready: ReadyQueue,
        reports: ErrorReports,
    ) -> None:
        self._shared = shared
        self._leases = leases
        self._recorder = recorder
        self._ready = ready
        self._reports = reports
        self._gone: dict[int, _Gone] = {}  # by pid

    # -- until it is dead ----------------------------------------------------------------
    def gone(self, worker: WorkerHandle, *, at_once: bool = False) -> None:
        """Note that the socket of a worker has closed.

        Args:
            worker: nothing more is heard of it.
            at_once: it is to be killed without waiting for its end.
        """
        wait = _WITHOUT if worker.job is None else _WITH_A_JOB
        wait = 0.0 if at_once else wait
        self._gone[worker.pid] = _Gone(worker, time.monotonic() + wait)

    def next(self) -> float | None:
        """Return when the next process is to be killed, on the monotonic clock."""
        return min((gone.kill_at for gone in self._gone.values()), default=None)

    def undead(self, now: float) -> list[WorkerHandle]:
        """Return the workers that should be dead by now; each again until it is dead."""
        late = [gone for gone in self._gone.values() if gone.kill_at <= now]
        for gone in late:
            gone.kill_at = now + _AGAIN
        return [gone.worker for gone in late]

    # -- what becomes of its jobs ----------------------------------------------------------
    def died(self, pid: int, status: int, *, killed: bool = False) -> None:
        """Say what becomes of the jobs of a process that has been reaped.

        Args:
            pid: of the process. A pid that is not of a worker that has gone is passed over.
            status: what waitpid gave.
            killed: whether the sentinel has killed it.
        """
        gone = self._gone.pop(pid, None)
        if gone is None:
            return
        worker, job = gone.worker, gone.worker.job
        if job is not None and job.killed is KillReason.CLOSED and not killed:
            # It had died before its kill came; the sentinel tells that late where it has
            # to wait for a processor. Its task has closed nothing.
            job.killed = None
        ours = job is not None and job.killed is not None
        how = how_it_died(status, ours=ours, rss=worker.rss)
        worker.job = None
        # the worker has read these orders, behind its job, and not begun them
        self._ready.put_back(list(worker.ahead))
        worker.ahead.clear()
        if job is not None:
            self._end(worker, job, how)

    def _end(self, worker: WorkerHandle, job: Job, how: str) -> None:
        if self._leases.has_lost(job, time.monotonic()):
            self.drop(job)
        elif job.killed is KillReason.HUNG:
            job.killed = None
            self._ready.put_back([job])
        elif job.killed is KillReason.STOP:
            self._recorder.give_back(job)
        elif job.ended is not None:
            self._after_follow_up(job, how)
        else:
            self._record(worker, job, how)

    def drop(self, job: Job) -> None:
        """Forget a job whose lease was lost: the cluster that has it records its end."""
        logger.warning("the lease of %s was lost; its end is not recorded", job.task.id)
        self._shared.settle(job, JobState.LOST)

    def _record(self, worker: WorkerHandle, job: Job, how: str) -> None:
        ended = job.ended_by_death(how)
        if job.killed is not KillReason.CANCEL:  # that was somebody's wish
            self._reports.put(
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
            self._ready.put_back([job])
        elif not job.owes_link:
            self._recorder.finish(job)
        elif job.follow_up_crashes < 2 * MAX_HOOK_CRASHES:
            self._ready.put_back([job])
        else:
            logger.error(
                "the next link of %s is missing; the delivery is left to its lease",
                job.task.id,
            )
            self._shared.settle(job, JobState.LEFT)
