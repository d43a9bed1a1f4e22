"""Runs in: renewal, a thread of the dispatcher. Renews leases before they end.

The thread has its own broker, and so its own connection: a slow claim or a long batch of
another thread must not cost a lease.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from ...brokers.base import Broker
from ...errors import BrokerUnavailable
from ..services import Services
from .guard import Guard, close, pause
from .job import Job
from .leases import Leases
from .state import SharedState

logger = logging.getLogger("qcore.renewal")

#: Rounds in one lease: three of them may fail before a lease is lost.
_ROUNDS = 4


class LeaseRenewal:
    """Prolongs the lease of every delivery that this cluster holds.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        leases: tells the loop that a lease was lost.
    """

    def __init__(self, services: Services, shared: SharedState, leases: Leases) -> None:
        self._services = services
        self._shared = shared
        self._leases = leases
        self._guard = Guard("renewal", shared)

    def run(self) -> None:
        """Renew until every delivery is settled. The cluster stops this thread last."""
        if not self._services.conf.renews or (broker := self._make_broker()) is None:
            return
        if not broker.supports_extend:
            logger.warning(
                "%s cannot renew leases: a task that runs for more than %g s is started"
                " again",
                type(broker).__name__, broker.lease,
            )  # fmt: skip
            return
        self._shared.renewing = True
        while not pause(self._shared.ended, broker.lease / _ROUNDS):
            try:
                with self._shared.steps.of("renewal"):
                    self._renew(broker)
            except BaseException as error:  # noqa: BLE001 - it is a stranger's code
                # the next round is the next try: three of them may fail
                self._guard.note("leases cannot be renewed now", error)
                self._shared.report_problem("renewal", str(error))
            else:
                self._guard.over()
        close(broker, "renewal")

    def _make_broker(self) -> Broker | None:
        while not self._shared.ended.is_set():
            try:
                return self._services.make_broker()
            except Exception as error:  # noqa: BLE001 - it is a stranger's code
                self._guard.wait_out(error)
        return None

    def _renew(self, broker: Broker) -> None:
        now = time.monotonic()
        margin = broker.lease * (1 - 1 / _ROUNDS)
        due = [
            job
            for job in list(self._shared.held)
            if not job.lost and job.lease_end - now <= margin
        ]
        if not due:
            return
        try:
            self._extend(broker, due, now)
        except BrokerUnavailable:
            raise
        except Exception as error:
            if len(due) == 1:
                raise
            self._guard.note("leases are renewed one by one", error)
            for job in due:
                self._extend_one(broker, job, now)

    def _extend_one(self, broker: Broker, job: Job, now: float) -> None:
        try:
            self._extend(broker, [job], now)
        except BrokerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - of one receipt; the others go on
            self._guard.note(f"the lease of {job.task.id} cannot be renewed", error)

    def _extend(self, broker: Broker, due: Sequence[Job], now: float) -> None:
        lost = broker.extend([job.receipt for job in due])
        for job in due:
            if job.receipt in lost:
                self._lose(job)
            else:
                job.lease_end = now + broker.lease

    def _lose(self, job: Job) -> None:
        """Mark a job as lost: the broker has given its delivery away, or removed it."""
        if job not in self._shared.held:
            return  # settled while we asked
        job.lost = True
        logger.warning("the lease of %s was lost", job.task.id)
        self._leases.alarm()
