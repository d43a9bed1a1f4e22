"""Runs in: the pusher. Asks plugins whether a claimed task that needs them may run.

All tasks of a batch are asked about together. If that fails for a reason that is not the
ledger, each half is asked about alone, until the culprit is alone. What cannot be decided
waits here, and its lease is renewed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from ...envelope import Attempt
from ...errors import LedgerError
from ...features import RUN, Admission, Claim, Drop
from ...masking import mask_url
from ..services import Features, Services
from .guard import Guard
from .handover import Handover
from .job import Job
from .lifecycle import JobState
from .state import SharedState

logger = logging.getLogger("qcore.pusher")

#: Seconds until plugins are asked again, at first and at most.
_FIRST, _LONGEST = 0.5, 15.0
#: Under this name, the status shows why tasks wait here.
_PROBLEM = "plugins"


class Admissions:
    """Hands jobs over that may run; the others wait, or end.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        handover: takes the jobs that may run.
    """

    def __init__(
        self, services: Services, shared: SharedState, handover: Handover
    ) -> None:
        self._services = services
        self._shared = shared
        self._handover = handover
        self._guard = Guard("pusher", shared)
        self._features: Features | None = None
        self._waiting: list[Job] = []
        #: of them, those that have failed alone: they are not asked about with others
        self._culprits: set[Job] = set()
        self._again_at, self._pause = 0.0, _FIRST

    def __len__(self) -> int:
        """Return how many jobs wait for an answer."""
        return len(self._waiting)

    def take(self) -> list[Job]:
        """Return the jobs that wait here, to be given back."""
        taken, self._waiting = self._waiting, []
        self._culprits.clear()
        return taken

    def give(self, jobs: Sequence[Job]) -> None:
        """Hand over the jobs that may run, those that have waited here included."""
        asked = [job for job in jobs if job.task.needs]
        if not asked:  # nearly always
            self._handover.give(jobs)
        else:
            self._shared.held.update(
                asked
            )  # before anybody is asked: that may take long
            self._handover.give([job for job in jobs if not job.task.needs])
        if asked or (self._waiting and time.monotonic() >= self._again_at):
            self._handover.give(self._sort(asked))

    def give_finished(self, job: Job, end: Attempt) -> None:
        """Hand over a job whose end is stored already, with that end."""
        self._handover.give_finished(job, end)

    def drop(self, job: Job) -> None:
        """Hand over a job of which only the delivery is to be acknowledged."""
        self._handover.drop(job)

    def lacking(self, job: Job) -> str | None:
        """Return the name of a plugin that a job needs and this cluster lacks."""
        return self._asked_features().lacking(job.task)

    # -- asking ------------------------------------------------------------------------
    def _sort(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that may run, of these and of those that wait."""
        now = time.monotonic()
        ours = self._still_ours(now) if now >= self._again_at else []
        kept = [] if now >= self._again_at else self._waiting
        ready: list[Job] = []
        unknown: list[Job] = []
        alone = [[job] for job in ours if job in self._culprits]
        together = [*(job for job in ours if job not in self._culprits), *jobs]
        for part in [together, *alone]:
            if part:
                one, other = self._ask(part)
                ready += one
                unknown += other
        self._waiting = [*kept, *unknown]
        self._culprits.intersection_update(self._waiting)
        if unknown:
            self._again_at = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST)
        elif not self._waiting:
            self._pause = _FIRST
            self._shared.clear_problem(_PROBLEM)
        return ready

    def _still_ours(self, now: float) -> list[Job]:
        ours = []
        for job in self._waiting:
            if job.lost or job.lease_end <= now:
                self._shared.settle(job, JobState.LOST)
            else:
                ours.append(job)
        return ours

    def _ask(self, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Return the jobs that may run, and those of which that is not known."""
        try:
            claims = [Claim(job.task, job.attempt, job.lease_end) for job in jobs]
            answers = self._asked_features().admit(claims)
        except BaseException as error:  # noqa: BLE001 - plugins are a stranger's code
            if isinstance(error, LedgerError):
                return [], self._cannot_tell(jobs, error)
            if len(jobs) == 1:
                self._culprits.update(jobs)
                return [], self._cannot_tell(jobs, error)
            logger.warning(
                "plugins fail on %d tasks together; each half is tried alone", len(jobs)
            )
            half = len(jobs) // 2
            ready, unknown = self._ask(jobs[:half])
            more, others = self._ask(jobs[half:])
            return [*ready, *more], [*unknown, *others]
        self._culprits.difference_update(jobs)
        return self._obey(jobs, answers), []

    def _obey(self, jobs: Sequence[Job], answers: Sequence[Admission]) -> list[Job]:
        """End the jobs that are dropped; return those that may run."""
        ready = []
        for job, answer in zip(jobs, answers, strict=True):
            if answer is RUN:
                ready.append(job)
            elif isinstance(answer, Drop):
                logger.info(
                    "%s id=%s does not run: %s: %s",
                    job.task.func, job.task.id, answer.outcome, answer.why,
                )  # fmt: skip
                text = f"{answer.outcome.capitalize()}: {answer.why}"
                self._handover.give_ended(job, Attempt.failed(answer.outcome, text))
        return ready

    def _cannot_tell(self, jobs: Sequence[Job], error: BaseException) -> list[Job]:
        needs = ", ".join(sorted({name for job in jobs for name in job.task.needs}))
        what = f"{len(jobs)} tasks wait for the plugins that they need ({needs})"
        self._guard.note(what, error)
        reason = f"{type(error).__name__}: {mask_url(str(error))}"
        self._shared.report_problem(_PROBLEM, f"{what}: {reason}")
        return list(jobs)

    def _asked_features(self) -> Features:
        """Return what asks the plugins, made by this thread.

        Raises:
            LedgerError: this cluster has nothing that could ask them.
        """
        if self._features is None:
            self._features = self._services.make_features()
        if self._features is None:
            raise LedgerError("this cluster has no plugins")
        return self._features
