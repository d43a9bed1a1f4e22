"""Runs in: the keeper, a thread of the dispatcher. Renews leases before they end.

It has a broker, and so a connection, of its own: a slow claim or a long batch in another
thread must not cost a lease.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..brokers.base import Broker
from ..errors import QcoreError
from .job import Job
from .parts import Parts
from .tally import Tally

logger = logging.getLogger("qcore.keeper")

#: Rounds in one lease: three of them may fail before a lease is lost.
_ROUNDS = 4


class Keeper:
    """Prolongs the lease of every delivery that this cluster holds.

    Args:
        parts: what the cluster is made of.
        tally: what the threads share.
        alarm: tells the loop that a lease was lost.
    """

    def __init__(self, parts: Parts, tally: Tally, alarm: Callable[[], None]) -> None:
        self._parts = parts
        self._tally = tally
        self._alarm = alarm

    def run(self) -> None:
        """Renew until everything is settled; the cluster stops this thread last."""
        if not self._parts.conf.renews:
            return
        broker = self._parts.make_broker()
        if not broker.supports_extend:
            logger.warning(
                "%s cannot renew leases: a task that runs for more than %g s is started"
                " again",
                type(broker).__name__, broker.lease,
            )  # fmt: skip
            return
        self._tally.renewing = True
        pause = broker.lease / _ROUNDS
        while not self._tally.ended.wait(pause):
            try:
                self._renew(broker)
            except QcoreError as error:
                logger.warning("leases cannot be renewed now: %s", error)
                self._tally.trouble("keeper", str(error))
            else:
                self._tally.recover("keeper")
        broker.close()

    def _renew(self, broker: Broker) -> None:
        now = time.monotonic()
        margin = broker.lease * (1 - 1 / _ROUNDS)
        due = [
            job
            for job in list(self._tally.held)
            if not job.lost and job.lease_end - now <= margin
        ]
        if not due:
            return
        lost = broker.extend([job.receipt for job in due])
        for job in due:
            if job.receipt in lost:
                self._lose(job)
            else:
                job.lease_end = now + broker.lease

    def _lose(self, job: Job) -> None:
        """Note that the broker has given a delivery to somebody else, or ended it."""
        if job not in self._tally.held:
            return  # settled while we asked
        job.lost = True
        logger.warning("the lease of %s was lost", job.task.id)
        self._alarm()
