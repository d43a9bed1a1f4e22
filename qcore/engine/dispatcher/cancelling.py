"""Runs in: the pusher. Ends claimed jobs whose tasks somebody has cancelled."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from ...errors import LedgerError
from ..services import Services
from .handover import Handover
from .job import Job, LedgerPart
from .ledger_handle import LedgerHandle
from .outages import Rest
from .state import SharedState

logger = logging.getLogger("qcore.pusher")


class Cancelling:
    """Looks claimed jobs up, while any task is marked as cancelled.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        handover: takes the jobs that end.
    """

    def __init__(
        self, services: Services, shared: SharedState, handover: Handover
    ) -> None:
        self._shared = shared
        self._handover = handover
        self._handle = LedgerHandle(services)
        self._rest = Rest()

    def sift(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that go on; the tasks of the others end as cancelled.

        A job goes on without an answer of the ledger. The thread ``control`` looks up what
        the cluster holds, too.
        """
        if not jobs or self._rest.is_on():
            return list(jobs)
        began = time.monotonic()
        if (ledger := self._handle.ledger()) is None:
            return list(jobs)
        try:
            found = ledger.look_up({job.task.id for job in jobs})
        except LedgerError as error:
            self._rest.failed(began)
            logger.warning("%s", error)
            return list(jobs)
        going = []
        for job in jobs:
            ticket = found.get(job.task.id)
            if ticket is None or not ticket.cancels(job.task.gen):
                going.append(job)
                continue
            job.ledger, job.cancelled = LedgerPart(ticket), True
            self._shared.held.add(job)
            self._handover.give_ended(job, job.end_as_cancelled())
        return going
