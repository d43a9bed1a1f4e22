"""Runs in: the pusher. Asks whether the task of a repeated delivery has ended already.

After a lost acknowledgement, the broker delivers a task again whose success is stored. So
the pusher asks the store before such a delivery becomes a job for the loop. While the
store does not answer, the delivery waits here, its lease is renewed, and all other
deliveries go on. One that needs plugins is given back while the ledger is away: there may
be many of them, and they could not begin.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from ...envelope import Attempt, Outcome, choose
from ...errors import PackageError, StoreRefused
from ...results.base import ResultStore
from ...serializers import get_serializer
from ..services import Services
from .deferred import Deferred
from .guard import Guard
from .handover import Onward
from .identity import Identity, final_outcome
from .job import Job
from .lifecycle import JobState
from .outages import Rest
from .refusals import Refusals
from .state import SharedState
from .suspects import Suspects

logger = logging.getLogger("qcore.pusher")

#: Seconds until the store is asked again, at first and at most.
_FIRST, _LONGEST = 0.5, 15.0


def may_be_finished(job: Job) -> bool:
    """Whether an earlier delivery, or a copy, may have ended this task.

    By the deliveries that the broker counts: the attempts of a task that needs plugins are
    in its ticket, which is not known yet. The admission of such a task locks its ticket, and
    puts the task off where it has ended: its next delivery is looked up.
    """
    task = job.task
    return job.delivery.attempt > 1 or task.may_be_doubled or task.gen > 0


class Redelivered:
    """Asks the store about deliveries, and keeps those without an answer.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        handover: takes the jobs whose end is stored already.
        suspects: keeps those that may have killed their cluster.
        late: gives back those that need plugins while the ledger is away.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        handover: Onward,
        suspects: Suspects,
        late: Deferred,
    ) -> None:
        self._services = services
        self._conf = services.conf
        self._shared = shared
        self._handover = handover
        self._suspects = suspects
        self._late = late
        self._away_until = 0.0  # monotonic: the ledger, for tasks that need plugins
        self._late_pause = _FIRST
        self._guard = Guard("pusher", shared)
        self._refusals = Refusals(services)
        self._identity = Identity(services, handover)
        self._waiting: list[Job] = []
        self._again_at, self._pause = 0.0, _FIRST
        self._rest = Rest()

    def __len__(self) -> int:
        """Return how many deliveries wait for an answer of the store."""
        return len(self._waiting)

    def take(self) -> list[Job]:
        """Return the jobs that wait here, to be given back."""
        taken, self._waiting = self._waiting, []
        return taken

    def sort(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that may be run; the others are finished, or wait.

        Args:
            jobs: new ones, which may have been finished.
        """
        now = time.monotonic()
        if now < self._away_until:
            jobs = self._without_late(jobs, self._away_until - now)
        if not jobs and (not self._waiting or now < self._again_at):
            return []
        if self._rest.is_on():
            self._waiting += jobs
            return []
        asked = [*self._still_ours(now), *jobs]
        self._waiting = []
        ready: list[Job] = []
        asked, unknown = self._identify(asked)
        for route, its in self._by_route(asked).items():
            one, other = self._ask(route, its)  # a store that is away delays no other's
            ready += one
            unknown += other
        if unknown:
            self._waiting = unknown
            self._rest.failed(now)
            self._again_at = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST)
        else:
            self._pause = _FIRST
            self._shared.clear_problem("store")
        return ready

    def _identify(self, jobs: list[Job]) -> tuple[list[Job], list[Job]]:
        """Return the jobs that go on, and those whose tickets cannot be read now."""
        try:
            going, unknown = self._identity.sift(jobs)
        except Exception as error:  # noqa: BLE001 - a setting, or a bug; not of one job
            return [], self._cannot_tell(jobs, error)
        if unknown:
            what = f"the ledger cannot say of {len(unknown)} tasks whether they may run"
            self._shared.report_problem("ledger", what)
            waiting = self._without_late(unknown, self._late_pause)
            if len(waiting) < len(unknown):
                self._away_until = time.monotonic() + self._late_pause
                self._late_pause = min(2 * self._late_pause, _LONGEST)
            return going, waiting
        self._late_pause = _FIRST
        self._shared.clear_problem("ledger")
        return going, []

    def _without_late(self, jobs: Sequence[Job], seconds: float) -> list[Job]:
        """Put off the jobs that need plugins; return the others."""
        self._late.add([job for job in jobs if job.task.needs], seconds)
        return [job for job in jobs if not job.task.needs]

    def _still_ours(self, now: float) -> list[Job]:
        ours = []
        for job in self._waiting:
            if job.lost or job.lease_end <= now:
                self._shared.settle(job, JobState.LOST)
            else:
                ours.append(job)
        return ours

    def _by_route(self, jobs: Sequence[Job]) -> dict[str, list[Job]]:
        store = self._services.make_store()
        routes: dict[str, list[Job]] = {}
        for job in jobs:
            routes.setdefault(store.route(job.task), []).append(job)
        return routes

    def _ask(self, route: str, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Return the jobs that may be run, and those of which nothing is known."""
        left = jobs
        try:
            left = self._drop_finished(route, jobs)
            return self._suspects.sift(left), []
        except Exception as error:  # noqa: BLE001 - stores are plugins
            # Those that are handed over already are not asked for again: two workers
            # would do what follows of one job.
            if not left:
                return [], []
            if len(left) == 1 or not self._refusals.is_refusal(error, route):
                return self._alone(left, error)
        ready, unknown = [], []
        for job in left:
            one, other = self._ask(route, [job])
            ready += one
            unknown += other
        return ready, unknown

    def _alone(
        self, jobs: Sequence[Job], error: Exception
    ) -> tuple[list[Job], list[Job]]:
        """Return what may run, and what is not known, of jobs that the store cannot tell."""
        if len(jobs) == 1 and isinstance(error, StoreRefused | PackageError):
            # no result has ever been stored that cannot be asked for
            what = f"{jobs[0].task.id} runs, for its store can have no end of it"
            self._guard.note(what, error)
            return list(jobs), []
        return [], self._cannot_tell(jobs, error)

    def _cannot_tell(self, jobs: Sequence[Job], error: Exception) -> list[Job]:
        what = f"it is not known whether {len(jobs)} tasks have ended before"
        self._guard.note(what, error)
        self._shared.report_problem("store", f"{what}: {type(error).__name__}")
        return list(jobs)

    def _drop_finished(self, route: str, jobs: Sequence[Job]) -> list[Job]:
        """Hand over the jobs whose end is stored already; return the others.

        Their first acknowledgement was lost. They need another one, and not another run.
        """
        ends = self._stored_ends(jobs, self._services.make_store().part(route))
        for job in jobs:
            if (end := ends.get(job.task.id)) is not None:
                self._handover.give_finished(job, end)
        return [job for job in jobs if job.task.id not in ends]

    def _stored_ends(
        self, jobs: Sequence[Job], store: ResultStore
    ) -> dict[str, Attempt]:
        """Return the stored ends of tasks that will not run again, by their ids."""
        if not jobs:
            return {}
        created = {job.task.id: job.task.created for job in jobs}
        ends = {
            id: Attempt(Outcome.SUCCESS, value, content, created[id], created[id])
            for id, (content, value) in store.finished(created.keys()).items()
        }
        for job in jobs:
            final = final_outcome(job)
            if final is not None and job.task.id not in ends:
                ends[job.task.id] = _end_by_ticket(job, final, store)
                continue
            limit = choose(job.task.options.max_attempts, self._conf.max_attempts)
            # seldom: after the last attempt there is no other unless something was lost
            if not limit or job.attempt <= limit or job.task.id in ends:
                continue
            found = store.fetch(job.task.id)
            if found is not None and found.attempt_count >= limit:
                at = job.task.created
                text = str(found.result)
                ends[job.task.id] = Attempt.failed(found.outcome, text, at, at)
        return ends


def _end_by_ticket(job: Job, outcome: str, store: ResultStore) -> Attempt:
    """Return the end of a task that its ticket tells: the value is stored, or it is lost.

    A success need not be stored, and anything may have been deleted since.
    """
    at = job.task.created
    if outcome == Outcome.SUCCESS:
        nothing = get_serializer(job.task.content).dumps(None)
        return Attempt(Outcome.SUCCESS, nothing, job.task.content, at, at)
    found = store.fetch(job.task.id)
    text = str(found.result) if found is not None else f"the task ended as {outcome}"
    return Attempt.failed(outcome, text, at, at)


def parted(jobs: Iterable[Job]) -> tuple[list[Job], list[Job]]:
    """Return the jobs that cannot have ended before, and those that may have."""
    fresh: list[Job] = []
    others: list[Job] = []
    for job in jobs:
        if may_be_finished(job):
            others.append(job)
        else:
            fresh.append(job)
    return fresh, others
