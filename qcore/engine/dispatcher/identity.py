"""Runs in: the pusher. Looks up at the claim which package of a task is valid.

Only deliveries that may not be the first of their task are looked up, a batch in one query.
A task that has ended never runs again: its delivery goes the way of a stored end, which
still does a hook that is owed. A package of a lower gen is acknowledged, because a newer
package of the task is the valid one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...errors import LedgerError
from ..services import Services
from .handover import Onward
from .job import Job, LedgerPart
from .ledger_handle import LedgerHandle

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

    def sift(self, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Return the jobs that go on, and those of which nothing is known now.

        A job that goes on has its ticket, and may have ended: see ``final_outcome``. A
        plain job goes on without an answer of the ledger. It may run beside a package that
        was sent after it, as after a lost acknowledgement; the first success counts.

        Raises:
            Exception: the ledger cannot be made, which is a fault of the settings.
        """
        if not jobs or (ledger := self._handle.ledger()) is None:
            return list(jobs), []
        try:
            found = ledger.look_up({job.task.id for job in jobs})
        except LedgerError as error:
            logger.warning("%s", error)
            plain = [job for job in jobs if not job.has_ticket]
            return plain, [job for job in jobs if job.has_ticket]
        if not found:
            return list(jobs), []
        going = []
        for job in jobs:
            ticket = found.get(job.task.id)
            if ticket is not None:
                job.ledger = LedgerPart(ticket)
                if ticket.final is None and job.task.gen < ticket.gen:
                    logger.info(
                        "%s was sent again since; this package of it is dropped",
                        job.task.id,
                    )
                    self._handover.drop(job)
                    continue
            going.append(job)
        return going, []


def final_outcome(job: Job) -> str | None:
    """Return how the task of a job has ended, as its ticket says; None: it has not."""
    if job.ledger is None or job.ledger.ticket is None:
        return None
    return job.ledger.ticket.final
