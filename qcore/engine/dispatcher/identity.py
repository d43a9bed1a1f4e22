"""Runs in: the pusher. Looks up at the claim which package of a task is valid.

Only deliveries that may not be the first of their task are looked up, a batch in one query.
A task that has ended never runs again: its delivery goes the way of a stored end, which
still does a hook that is owed. A package of a lower gen is acknowledged, because a newer
package of the task is the valid one.

Clusters of release 2.0 give back what they cannot read, and the broker counts each of these
claims. So the claims of such packages by clusters that can read them are counted here, from
the second delivery on: before it, there is nothing to tell apart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from ...errors import LedgerError
from ...settled import TicketState
from ..services import LedgerLike, Services
from .handover import Onward
from .job import Job, LedgerPart
from .ledger_handle import LedgerHandle
from .outages import Rest

logger = logging.getLogger("qcore.pusher")


class Identity:
    """Gives claimed jobs what their tickets say.

    Args:
        services: what the cluster is made of.
        handover: takes the deliveries that are only to be acknowledged.
    """

    def __init__(self, services: Services, handover: Onward) -> None:
        self._handover = handover
        self._handle = LedgerHandle(services)
        self._rest = Rest()

    def sift(self, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Return the jobs that go on, and those of which nothing is known now.

        A job that goes on has its ticket, and may have ended: see ``final_outcome``. A
        plain job goes on without an answer of the ledger. It may run beside a package that
        was sent after it, as after a lost acknowledgement; the first success counts.

        Raises:
            Exception: the ledger cannot be made, which is a fault of the settings.
        """
        if not jobs:
            return [], []
        if self._rest.is_on():
            return _by_ticket(jobs)
        began = time.monotonic()
        if (ledger := self._handle.ledger()) is None:
            return list(jobs), []
        try:
            found = ledger.look_up({job.task.id for job in jobs})
        except LedgerError as error:
            self._rest.failed(began)
            logger.warning("%s", error)
            return _by_ticket(jobs)
        counted = self._count(ledger, jobs, found)
        if not found:
            return list(jobs), []
        going = []
        for job in jobs:
            ticket = found.get(job.task.id)
            if ticket is not None:
                claims = counted.get(job, 0)
                job.ledger = LedgerPart(ticket, claims=claims)
                if ticket.final is None and job.task.gen < ticket.gen:
                    logger.info(
                        "%s was sent again since; this package of it is dropped",
                        job.task.id,
                    )
                    self._handover.drop(job)
                    continue
            going.append(job)
        return going, []

    def _count(
        self, ledger: LedgerLike, jobs: Sequence[Job], found: dict[str, TicketState]
    ) -> dict[Job, int]:
        """Count claims of packages that 2.0 may have given back; return them by job.

        Args:
            ledger: of this thread.
            jobs: that were looked up; a job may come again, after an outage of its store.
            found: what their tickets say. What is written here is added.
        """
        counted = {
            job: job.ledger.claims
            for job in jobs
            if job.ledger is not None and job.ledger.claims
        }
        new = {
            job.task.id: job
            for job in sorted(jobs, key=lambda job: job.task.gen)
            if job not in counted and _may_have_been_given_back(job)
        }
        if not new:
            return counted  # nearly always
        try:
            states = ledger.count_claims({id: job.task.gen for id, job in new.items()})
        except LedgerError as error:
            logger.warning("%s The broker's count of attempts holds.", error)
            return counted
        for id, state in states.items():
            found[id] = state
            job = new[id]
            if state.final is None and state.gen == job.task.gen:
                counted[job] = state.starts
        return counted


def _may_have_been_given_back(job: Job) -> bool:
    """Whether a cluster of release 2.0 may have claimed the package, and given it back.

    The starts of a task that needs plugins are counted by their admission.
    """
    task = job.task
    return job.delivery.attempt > 1 and task.is_bound and not task.needs


def _by_ticket(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the plain jobs, and those that must wait for their tickets."""
    plain = [job for job in jobs if not job.has_ticket]
    return plain, [job for job in jobs if job.has_ticket]


def final_outcome(job: Job) -> str | None:
    """Return how the task of a job has ended, as its ticket says; None: it has not."""
    if job.ledger is None or job.ledger.ticket is None:
        return None
    return job.ledger.ticket.final
