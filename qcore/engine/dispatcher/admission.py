"""Runs in: the pusher. Asks plugins whether a claimed task that needs them may run.

All tasks of a batch are asked about together. If that fails for a reason that is not the
ledger, those that need other plugins are asked about apart, and then each half alone, until
the culprit is alone. What cannot be decided
is given back for some time: else it would take the place of tasks that could run. A culprit
is given up in the end (``culprits``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from ...envelope import Attempt
from ...errors import LedgerError, PluginFailed
from ...features import Admitted, Claim, Drop, Later, Park, Release, Run
from ...masking import mask_url
from ...tasks.moments import expired
from ..services import Features, Services
from .culprits import Culprits
from .deferred import Deferred
from .guard import Guard
from .handover import Handover
from .job import Job, LedgerPart
from .state import SharedState

logger = logging.getLogger("qcore.pusher")

#: Seconds until plugins are asked again, at first and at most.
_FIRST, _LONGEST = 0.5, 15.0
#: Seconds for which the status shows that plugins have failed after the last such task.
_SHOWN = 120.0
#: Tasks of one batch, with the same needs, that are found to be the reason, one by one. With
#: more of them, the plugin is the reason.
_FEW = 8
#: Under this name, the status shows why tasks are put off.
_PROBLEM = "plugins"


def parted(jobs: Sequence[Job]) -> list[Sequence[Job]]:
    """Return the parts of some jobs, one of which is the reason of a failure.

    A plugin that fails for all its tasks is apart at once from those that need it not.
    """
    by_needs: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        by_needs.setdefault(tuple(job.task.needs), []).append(job)
    if len(by_needs) > 1:
        return list(by_needs.values())
    half = len(jobs) // 2
    return [jobs[:half], jobs[half:]]


class Admissions:
    """Hands jobs over that may run; the others end, or are put off.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        handover: takes the jobs that may run.
        late: gives back the jobs of which nothing is known now.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        handover: Handover,
        late: Deferred,
    ) -> None:
        self._services = services
        self._shared = shared
        self._handover = handover
        self._late = late
        self._guard = Guard("pusher", shared)
        self._features: Features | None = None
        #: tasks that have failed alone; they are not asked about with others
        self._culprits = Culprits(max(_SHOWN, 2.0 * services.conf.retry))
        self._given_up: list[tuple[Job, PluginFailed]] = []
        # on the monotonic clock: when the ledger is asked again that was away, when the
        # pause grows, and when plugins have failed the last time
        self._away_until = self._grows_at = self._failed_at = 0.0
        self._pause = _FIRST

    def give(self, jobs: Sequence[Job]) -> None:
        """Hand over the jobs that may run."""
        asked = [job for job in jobs if job.task.needs]
        if not asked:  # nearly always
            self._handover.give(jobs)
            return
        # before anybody is asked: that may take long
        self._shared.held.update(asked)
        self._handover.give([job for job in jobs if not job.task.needs])
        over = [job for job in asked if expired(job.task) is not None]
        self._handover.give(over)  # they end there: nobody is to hold them back
        gone = set(over)
        self._handover.give(self._sort([job for job in asked if job not in gone]))

    def give_finished(self, job: Job, end: Attempt) -> None:
        """Hand over a job whose end is stored already, with that end."""
        self._handover.give_finished(job, end)

    def drop(self, job: Job) -> None:
        """Hand over a job of which only the delivery is to be acknowledged."""
        self._handover.drop(job)

    def lacking(self, job: Job) -> str | None:
        """Return the name of a plugin that a job needs and this cluster lacks."""
        return self._asked_features().lacking(job.task)

    def given_up(self) -> list[tuple[Job, PluginFailed]]:
        """Return the jobs that are to be quarantined, each with the reason; once."""
        found, self._given_up = self._given_up, []
        return found

    def look(self) -> None:
        """Show the problem no more if plugins have not failed for a while."""
        if self._failed_at and time.monotonic() - self._failed_at > _SHOWN:
            self._forget()

    # -- asking ------------------------------------------------------------------------
    def _sort(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that may run."""
        parts: list[Sequence[Job]] = [
            [job for job in jobs if job.task.id not in self._culprits]
        ]
        parts += [[job] for job in jobs if job.task.id in self._culprits]
        ready: list[Job] = []
        found: dict[tuple[str, ...], list[Job]] = {}  # the culprits of this batch
        unknown: list[Job] = []
        while parts:
            part = parts.pop(0)
            if not part:
                continue
            alone = found.setdefault(tuple(part[0].task.needs), [])
            if len(alone) >= _FEW or time.monotonic() < self._away_until:
                unknown += part
                continue
            try:
                ready += self._ask(part)
            except BaseException as error:  # noqa: BLE001 - plugins are a stranger's code
                if isinstance(error, LedgerError):
                    self._away_until = time.monotonic() + self._pause
                    self._tell(part, error)
                    unknown += part
                elif len(part) == 1:
                    self._tell(part, error)
                    alone += part
                    if (reason := self._culprits.convict(part[0], error)) is not None:
                        self._given_up.append((part[0], reason))
                else:
                    logger.warning(
                        "plugins fail on %d tasks together; each part is tried alone",
                        len(part),
                    )
                    parts[:0] = parted(part)
        culprits = [job for some in found.values() for job in some]
        over = {job for job, _ in self._given_up}
        self._put_off([job for job in (*culprits, *unknown) if job not in over])
        if jobs and not culprits and not unknown and not self._culprits:
            self._forget()
        return ready

    def _ask(self, jobs: Sequence[Job]) -> list[Job]:
        """Ask plugins about jobs, and do what they say; return the jobs that may run.

        Raises:
            Exception: nothing is decided.
        """
        began = time.monotonic()
        claims = [Claim(job.task, job.attempt, job.lease_end) for job in jobs]
        answers = self._asked_features().admit(claims)
        self._culprits.served(jobs)
        return self._obey(jobs, answers, began)

    def _obey(
        self, jobs: Sequence[Job], answers: Sequence[Admitted], began: float
    ) -> list[Job]:
        """Return the jobs that may run; the others end, move or are put off."""
        ready = []
        for job, (answer, ticket) in zip(jobs, answers, strict=True):
            if isinstance(answer, Run):
                job.ledger = job.ledger or LedgerPart()
                if ticket is not None:
                    job.ledger.ticket, job.ledger.start = ticket, ticket.starts
                    job.ledger.holds, job.ledger.renewed_at = answer.holds, began
                ready.append(job)
            elif isinstance(answer, Drop):
                logger.info(
                    "%s id=%s does not run: %s: %s",
                    job.task.func, job.task.id, answer.outcome, answer.why,
                )  # fmt: skip
                text = f"{answer.outcome.capitalize()}: {answer.why}"
                self._handover.give_ended(job, Attempt.failed(answer.outcome, text))
            elif isinstance(answer, Later | Park):
                logger.debug("%s waits in the outbox: %s", job.task.id, answer)
                self._handover.drop(job)
            elif isinstance(answer, Release):
                logger.debug("%s is put off: %s", job.task.id, answer)
                self._late.add([job], answer.after)
        return ready

    # -- what is not known -----------------------------------------------------------------
    def _put_off(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        now = self._failed_at = time.monotonic()
        self._late.add(jobs, self._pause)
        if now >= self._grows_at:
            self._grows_at = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST)

    def _forget(self) -> None:
        self._pause, self._failed_at = _FIRST, 0.0
        self._culprits.forget()
        self._shared.clear_problem(_PROBLEM)

    def _tell(self, jobs: Sequence[Job], error: BaseException) -> None:
        needs = ", ".join(sorted({name for job in jobs for name in job.task.needs}))
        what = f"{len(jobs)} tasks wait for the plugins that they need ({needs})"
        self._guard.note(what, error)
        reason = f"{type(error).__name__}: {mask_url(str(error))}"
        self._shared.report_problem(_PROBLEM, f"{what}: {reason}")

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
