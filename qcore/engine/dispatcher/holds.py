"""Runs in: holds, a thread of the dispatcher. Has plugins renew what running tasks hold.

A hold, such as a place under a limit, is apart from the lease: it has a term of its own, and is
renewed even where leases are not. A job whose hold could not be renewed for too long is
treated like one whose lease was lost: its worker is killed before the hold ends, so that
another task may have the place then. Where the database hangs, and this thread with it, the
loop finds these jobs (``leases.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...errors import LedgerError, QcoreError
from ...features import Claim
from ...masking import mask_url
from ..services import Features, Services
from .admission import parted
from .guard import Guard, close, pause
from .job import Job, LedgerPart
from .leases import HOLDS, Leases
from .lifecycle import WITH_THE_LOOP
from .state import SharedState

#: Seconds between two renewals. A hold has a term of 60 seconds, so two of them may fail.
EVERY = 15.0
#: Tasks that are found to be the reason of a failure, one by one, in one renewal.
_FEW = 8


class Holds:
    """Renews the holds of the tasks that this cluster has let start.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        leases: tells the loop of a job that is lost.
    """

    def __init__(self, services: Services, shared: SharedState, leases: Leases) -> None:
        self._services = services
        self._shared = shared
        self._leases = leases
        self._guard = Guard("holds", shared)

    def run(self) -> None:
        """Renew until every delivery is settled; end at once where no plugin holds."""
        features: Features | None = None
        while not pause(self._shared.ended, EVERY):
            try:
                if features is None:
                    features = self._services.make_features()
                    if features is None or not features.renews:
                        return
                with self._shared.steps.of("holds"):
                    self.renew(features)
            except BaseException as error:  # noqa: BLE001 - it must not end the dispatcher
                self._guard.note("holds are not renewed now", error)
        close(features, "holds")

    def renew(self, features: Features) -> None:
        """Have plugins renew what they hold once; give up the jobs that are too late."""
        jobs = [job for job in list(self._shared.held) if _holds(job) and not job.lost]
        if not jobs:
            self._shared.clear_problem(HOLDS)
            return
        lost = self._ask(features, jobs)
        self._give_up(
            [
                job
                for job in jobs
                if (job.task.id, job.start) in lost
                or _part(job).is_late(time.monotonic())
            ]
        )

    def _ask(self, features: Features, jobs: Sequence[Job]) -> set[tuple[str, int]]:
        """Have plugins renew; return those that hold nothing any more.

        A task that a plugin fails on keeps no other from being renewed: its worker alone
        is killed in the end.
        """
        began = time.monotonic()
        lost: set[tuple[str, int]] = set()
        is_well, culprits = True, 0
        parts: list[Sequence[Job]] = [jobs]
        while parts:
            part = parts.pop()
            try:
                lost |= features.renew([_claim(job) for job in part])
            except BaseException as error:  # noqa: BLE001 - plugins are a stranger's code
                is_well = False
                self._tell(part, error)
                if isinstance(error, LedgerError):
                    break  # it is away: nobody else is renewed now
                if len(part) > 1 and culprits < _FEW:
                    parts += parted(part)
                else:
                    culprits += 1
            else:
                for job in part:
                    _part(job).renewed_at = began
        if is_well:
            self._shared.clear_problem(HOLDS)
        return lost

    def _tell(self, jobs: Sequence[Job], error: BaseException) -> None:
        self._guard.note("holds are not renewed now", error)
        reason = mask_url(str(error))
        if not isinstance(error, QcoreError):
            reason = f"{type(error).__name__}: {reason}"
        self._shared.report_problem(
            HOLDS, f"the holds of {len(jobs)} tasks are not renewed: {reason}"
        )

    def _give_up(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            # what has ended waits for the recorder: no worker is at it any more
            if job.state in WITH_THE_LOOP and job in self._shared.held:
                job.lost = True
                error = LedgerError("its hold was not renewed in time")
                self._guard.note(f"{job.task.id} is stopped", error)
        self._leases.alarm()


def _claim(job: Job) -> Claim:
    return Claim(job.task, job.attempt, job.lease_end, job.start)


def _holds(job: Job) -> bool:
    return job.ledger is not None and job.ledger.holds


def _part(job: Job) -> LedgerPart:
    assert job.ledger is not None
    return job.ledger
