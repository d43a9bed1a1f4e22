"""Runs in: the recorder. Tells the broker: acknowledges, gives back and sends.

If the broker refuses several receipts together, the recorder asks for each of them alone:
one bad receipt must not keep all others from being acknowledged. A delivery that stays
unacknowledged is safe: its lease ends, the package is delivered again, and the stored
success is recognised.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from ...brokers.base import Broker
from ...brokers.priorities import enqueue_by_priority
from ...errors import BrokerError, BrokerUnavailable, QcoreError
from ...masking import mask_url
from ..services import Services
from .guard import close
from .job import Job
from .lifecycle import JobState
from .outages import Outage
from .state import SharedState

logger = logging.getLogger("qcore.recorder")

#: Jobs of which the broker refuses each, one by one, to be asked for no more of them.
_FEW = 3
#: Seconds for which a stop waits until the pusher has left the broker: a little longer than
#: one of its calls may wait there.
_CLAIM = 1.5


class Deliveries:
    """Tells the broker what becomes of deliveries; waits while the broker is away.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
    """

    def __init__(self, services: Services, shared: SharedState) -> None:
        self._services = services
        self._shared = shared
        self._outage = Outage("recorder", shared)
        self.broker: Broker

    def open(self) -> None:
        """Make the broker of this thread; try again until that works."""
        while True:
            try:
                self.broker = self._services.make_broker()
            except Exception as error:  # noqa: BLE001 - it is a stranger's code
                self._outage.wait_out(error)
            else:
                return

    def close(self) -> None:
        """Close the connections of the broker."""
        close(self.broker, "recorder")

    # -- once, in the transaction of the store perhaps -------------------------------------
    def acknowledge_now(self, jobs: Sequence[Job]) -> None:
        """Acknowledge deliveries.

        Raises:
            BrokerError: they are not acknowledged, or perhaps some of them; whatever the
                broker raises is told as such, or it would be taken for the store's.
        """
        try:
            self._acknowledge(jobs)
        except QcoreError:
            raise
        except Exception as error:
            raise BrokerError(f"{type(error).__name__}: {error}") from error

    def send_now(self, jobs: Sequence[Job]) -> None:
        """Send the next links of chains.

        Raises:
            BrokerError: as ``acknowledge_now``.
        """
        try:
            self._send(jobs)
        except QcoreError:
            raise
        except Exception as error:
            raise BrokerError(f"{type(error).__name__}: {error}") from error

    def wait_out(self, error: Exception) -> None:
        """Wait for a broker that has failed in such a transaction."""
        self._outage.wait_out(error)

    def works(self) -> None:
        """Note that such a transaction has worked."""
        self._outage.over()

    # -- until the broker has answered ---------------------------------------------------
    def acknowledge(self, jobs: Sequence[Job]) -> list[Job]:
        """Acknowledge deliveries; return those that the broker refuses."""
        return self._until_answered(self._acknowledge, jobs)

    def acknowledge_each(self, jobs: Sequence[Job]) -> list[Job]:
        """Acknowledge each delivery by itself: the broker has refused them together."""
        return self._each(self._acknowledge, jobs)

    def send_next(self, jobs: Sequence[Job]) -> list[Job]:
        """Send the next links of chains; return the jobs whose links could not be sent.

        A link that is a row of the outbox is tried once. While the broker is away its row
        becomes due, and both the relay and this thread would send the link.
        """
        rows = [job for job in jobs if job.has_outbox_row]
        others = [job for job in jobs if not job.has_outbox_row]
        return [*self._send_rows(rows), *self._until_answered(self._send, others)]

    def _send_rows(self, jobs: Sequence[Job]) -> list[Job]:
        """Send next links that the relay sends otherwise; return the jobs of the unsent."""
        left = list(jobs)
        if not left:
            return left
        try:
            self._send(left)
        except Exception as error:  # noqa: BLE001 - it is a stranger's code
            del left[: _stored(error)]
            logger.warning(
                "%d next links are left to the relay of the outbox: %s: %s",
                len(left), type(error).__name__, mask_url(str(error)),
            )  # fmt: skip
            return left
        return []

    def give_back(self, jobs: Sequence[Job], *, delay: float = 0) -> None:
        """Release deliveries; those that the broker does not take are left to their leases.

        Args:
            jobs: whose deliveries they are.
            delay: seconds before they may be claimed again.
        """
        left = set(jobs)
        if jobs and self.broker.supports_release:
            if self._shared.stopping.is_set() or self._shared.pause is not None:
                # else it could claim them once more, and each claim counts as an attempt
                self._shared.claims_ended.wait(_CLAIM)
            for job in jobs:
                # our own pusher may be the next who claims it, before it is settled
                job.lost = True
            left = set(self._until_answered(partial(self._release, delay=delay), jobs))
        for job in jobs:
            exit = JobState.LEFT if job in left else JobState.RELEASED
            self._shared.settle(job, exit)

    def _acknowledge(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self.broker.acknowledge_many([job.receipt for job in jobs])

    def _release(self, jobs: Sequence[Job], *, delay: float) -> None:
        receipts = [job.receipt for job in jobs]
        if delay:
            self.broker.release(receipts, delay=delay)
        else:
            self.broker.release(receipts)

    def _send(self, jobs: Sequence[Job]) -> None:
        # a link has the priority of its predecessor
        entries = [
            (job.task.priority, job.next_package)
            for job in jobs
            if job.next_package is not None
        ]
        enqueue_by_priority(self.broker, entries)

    def _until_answered(
        self, call: Callable[[Sequence[Job]], None], jobs: Sequence[Job]
    ) -> list[Job]:
        """Call until the broker answers; at a stop, only until it refuses once more.

        Returns:
            The jobs for which it has not done what it was asked for.
        """
        while jobs:
            try:
                call(jobs)
            except BrokerUnavailable as error:
                jobs = jobs[_stored(error) :]
                self._outage.wait_out(error)
                if self._shared.stopping.is_set():
                    return list(jobs)
            except Exception as error:
                foreseen = isinstance(error, QcoreError)
                kind = "" if foreseen else f"{type(error).__name__}: "
                trace = None if foreseen else error
                logger.error("the broker refused: %s%s", kind, error, exc_info=trace)
                jobs = jobs[_stored(error) :]
                return self._each(call, jobs) if len(jobs) > 1 else list(jobs)
            else:
                self._outage.over()
                break
        return []

    def _each(
        self, call: Callable[[Sequence[Job]], None], jobs: Sequence[Job]
    ) -> list[Job]:
        """Ask for each job by itself; return the jobs that the broker refuses."""
        undone: list[Job] = []
        for place, job in enumerate(jobs):
            undone += self._until_answered(call, [job])
            if len(undone) == place + 1 == _FEW:  # it is not one of them, then
                return list(jobs)
        return undone


def _stored(error: Exception) -> int:
    """Return how many packages a call has sent before it failed."""
    return error.stored if isinstance(error, BrokerError) else 0
