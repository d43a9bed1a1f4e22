"""Runs in: the pusher. Tasks that may have killed their whole cluster.

The dispatcher records the death of a worker. If the kernel kills all processes of a
cluster, nobody records it: the only trace is that the broker counts one delivery more. Such
a count has harmless causes, too: a stop, a host that went down, a task that shared its
cluster with a killer. So the count alone convicts no task. A task that has used up the
deliveries that may stay without a result runs *alone*, and a mark is stored before it
begins. If the cluster dies once more, the next delivery finds the mark, and the task ends.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence

from ...brokers.base import Broker
from ...envelope import Attempt, Outcome, Task
from ...errors import StoreRefused, StoreUnavailable
from ...results.base import ResultStore
from ..services import ReportFailure, Services
from .fallback import bare
from .handover import Onward
from .job import Job
from .lifecycle import JobState
from .state import SharedState

logger = logging.getLogger("qcore.pusher")

#: The text of a result begins so where a cluster has died, or may, under its task.
MARK = "ClusterDied: "

#: Seconds for which claims pause so that a cluster becomes empty; then a suspect is given
#: back, for so many seconds if the broker can delay it.
_DRAIN, _LATER = 10.0, 30.0
#: Seconds for which a suspect is alone. What kills by growing may take longer; then those
#: that run beside it are delivered again, and it alone is blamed.
_ALONE = 60.0


class Suspects:
    """Keeps suspects until the cluster is empty, and runs one after the other.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        handover: hands jobs to the loop.
        report: tells error reporters of a failure.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        handover: Onward,
        report: ReportFailure,
    ) -> None:
        self._services = services
        self._shared = shared
        self._handover = handover
        self._report = report
        self._most = max(1, services.conf.max_crashes - 1)
        self._waiting: deque[Job] = deque()
        self._drain_until = 0.0  # monotonic
        self._alone: Job | None = None
        self._claims_from = 0.0  # monotonic
        # the job whose mark was refused once, perhaps in passing
        self._doubted: Job | None = None

    def __len__(self) -> int:
        """Return how many suspects wait for their turn."""
        return len(self._waiting)

    # -- who is one ----------------------------------------------------------------------
    def sift(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that may run like any other.

        Suspects are kept. A suspect that has killed its cluster while it ran alone ends.

        Raises:
            QcoreError: the store does not answer; nothing is kept, ended or returned.
        """
        if all(job.delivery.attempt <= self._most for job in jobs):
            return list(jobs)  # nearly always
        judged = [(job, self._decide(job)) for job in jobs]
        for job, decision in judged:
            if decision == "guilty":
                self._end(job)
            elif decision == "suspect":
                if not self._waiting:
                    self._drain_until = time.monotonic() + _DRAIN
                self._waiting.append(job)
        return [job for job, decision in judged if decision == "clear"]

    def _decide(self, job: Job) -> str:
        if job.delivery.attempt <= self._most:
            return "clear"
        found = self._store(job).fetch(job.task.id)
        if found is not None and found.id != job.task.id:  # of a task of that name
            found = None
        marked = found is not None and is_mark(found.outcome, str(found.result))
        # attempts of earlier packages have ended: else the task was not sent again. The
        # deliveries of one that needs plugins say nothing: it may have been put off.
        recorded = job.ended_before
        if found is not None:
            recorded = max(recorded, found.attempt_count)
        if not marked and job.attempt - 1 - recorded < self._most:
            return "clear"
        if self._is_running(job):
            return "clear"  # it has outlived its lease, as tasks may where that is set
        return "guilty" if marked else "suspect"

    def _is_running(self, job: Job) -> bool:
        """Whether an earlier delivery is known to run still, here or elsewhere."""
        for other in list(self._shared.held):
            if other is not job and other.task.id == job.task.id:
                return True
        try:
            return job.task.id in self._services.running()
        except Exception as error:  # noqa: BLE001 - who cannot tell does not punish
            logger.warning("the tasks that other clusters run are not known: %s", error)
            return True

    # -- running alone ---------------------------------------------------------------------
    def may_claim(self, broker: Broker, others: int) -> bool:
        """Do what is due; return whether more may be claimed now.

        Args:
            broker: of this thread.
            others: deliveries that wait elsewhere in the pusher.

        Raises:
            QcoreError: a store or the broker does not answer; it is tried again.
        """
        now = time.monotonic()
        if self._alone is not None:
            if self._alone in self._shared.held:
                if now < self._claims_from:
                    return False
                if self._waiting:  # it may run for hours
                    self._put_off(broker)
                return True
            self._acquit("its lease was lost while the task ran alone")
            self._alone = None
        while self._waiting:
            job = self._waiting[0]
            if job.lost or job.lease_end <= now:
                self._shared.settle(self._waiting.popleft(), JobState.LOST)
            elif len(self._shared.held) - len(self._waiting) - others <= 0:
                self._begin(job, now)
                return False
            elif now < self._drain_until:
                return False
            else:
                self._put_off(broker)
        return True

    def _begin(self, job: Job, now: float) -> None:
        logger.warning(
            "%s id=%s runs alone: %d earlier deliveries have ended without a result",
            job.task.func, job.task.id, job.attempt - 1,
        )  # fmt: skip
        self._mark(
            job,
            Outcome.CRASH,
            f"{MARK}earlier deliveries of this task ended without a result."
            f" Attempt {job.attempt} runs alone, and has not ended yet.",
        )
        self._waiting.popleft()
        self._alone, self._claims_from = job, now + _ALONE
        self._handover.give([job])

    def _put_off(self, broker: Broker) -> None:
        """Give suspects to other clusters, if this cluster does not become empty."""
        jobs = list(self._waiting)
        self._waiting.clear()
        may_release = broker.supports_release and broker.supports_delay
        for job in jobs:
            job.lost = True
            self._shared.settle(
                job, JobState.RELEASED if may_release else JobState.LEFT
            )
        if may_release:
            broker.release([job.receipt for job in jobs], delay=_LATER)

    def take(self) -> list[Job]:
        """Return the suspects that wait, at a stop."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def stop(self) -> None:
        """Remove the mark of the task that runs alone: the cluster stops during its run.

        Raises:
            Exception: the store does not take that.
        """
        self._acquit("the cluster stopped while the task ran alone")

    def _acquit(self, why: str) -> None:
        """Remove the mark of the task that runs alone, unless the task has ended."""
        job = self._alone
        if job is not None and job.result is None:
            self._mark(
                job, Outcome.FAILURE, f"TaskStopped: {why}. The task runs again."
            )

    def _mark(self, job: Job, outcome: str, text: str) -> None:
        """Store the mark of a task that is about to run alone; the mark is not its end.

        A store that refuses the task (its arguments are too large, perhaps) takes what
        the recorder would put in its place. If it refuses that, too, no mark is stored,
        and everything else goes on.

        Raises:
            Exception: the store is away.
        """
        for task in (job.task, bare(job.task)):
            try:
                self._save(job, task, outcome, text, final=False)
            except StoreUnavailable:
                self._doubted = None
                raise
            except Exception as error:
                # it may have come back just now: what passes is not of this task
                if not isinstance(error, StoreRefused) and self._doubted is not job:
                    self._doubted = job
                    raise
                self._store(job).ping()
                logger.warning("%s: %s", job.task.id, error)
            else:
                return

    # -- the end -----------------------------------------------------------------------------
    def _end(self, job: Job) -> None:
        """End a task that has killed its cluster while it ran alone."""
        text = (
            f"{MARK}the cluster died each time it ran this task, the last time while the"
            f" task ran alone. The task is given up after {job.attempt - 1} attempts."
        )
        logger.error("%s id=%s: %s", job.task.func, job.task.id, text)
        try:
            ended = self._save(job, job.task, Outcome.CRASH, text)
        except Exception as error:  # noqa: BLE001 - what is stored says nearly the same
            logger.warning("%s keeps its older result: %s", job.task.id, error)
            ended = Attempt.failed(Outcome.CRASH, text)
        self._handover.give_finished(job, ended)
        self._report(job.task, job.attempt, ended.outcome, text, "unknown", None)

    def _save(
        self, job: Job, task: Task, outcome: str, text: str, *, final: bool = True
    ) -> Attempt:
        ended = Attempt.failed(outcome, text)
        self._store(job).save([ended.result(task, job.attempt, final=final)])
        return ended

    def _store(self, job: Job) -> ResultStore:
        store = self._services.make_store()
        return store.part(store.route(job.task))


def is_mark(outcome: str, text: str) -> bool:
    """Whether a stored result says that a cluster has died under its task, or may have."""
    return outcome == Outcome.CRASH and text.startswith(MARK)
