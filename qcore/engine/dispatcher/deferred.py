"""Runs in: the pusher. Gives back for some time the deliveries that cannot begin now.

They are not kept here: what waits in memory takes the place of tasks that could run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...brokers.base import Broker
from .job import Job
from .lifecycle import JobState
from .state import SharedState

logger = logging.getLogger("qcore.pusher")


class Deferred:
    """Collects such deliveries during a round, and releases them at its end.

    Args:
        shared: what the threads share.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._late: dict[float, list[Job]] = {}

    def add(self, jobs: Sequence[Job], seconds: float) -> None:
        """Put deliveries off for so many seconds, to tenths, and a tenth at least."""
        if jobs:
            self._shared.held.update(jobs)
            self._late.setdefault(max(0.1, round(seconds, 1)), []).extend(jobs)

    def take(self) -> list[Job]:
        """Return the jobs that are to be put off still: the cluster stops or pauses."""
        taken = [job for jobs in self._late.values() for job in jobs]
        self._late.clear()
        return taken

    def flush(self, broker: Broker) -> None:
        """Give back what was put off.

        A broker that cannot delay would hand the deliveries out again at once: they are
        left to their leases. So are those that the broker refuses.

        Args:
            broker: of this thread.
        """
        while self._late:  # seldom
            seconds, jobs = self._late.popitem()
            self._release(broker, jobs, seconds)

    def _release(self, broker: Broker, jobs: Sequence[Job], seconds: float) -> None:
        may_release = broker.supports_release and broker.supports_delay
        exit = JobState.RELEASED if may_release else JobState.LEFT
        ours = [job for job in jobs if not job.lost]
        for job in jobs:
            state = JobState.LOST if job.lost else exit
            # before the call: our own pusher may be the next who claims it
            job.lost = True
            self._shared.settle(job, state)
        if may_release and ours:
            try:
                broker.release([job.receipt for job in ours], delay=seconds)
            except Exception as error:  # noqa: BLE001 - their leases bring them again
                logger.warning(
                    "%d deliveries are left to their leases: %s", len(ours), error
                )
