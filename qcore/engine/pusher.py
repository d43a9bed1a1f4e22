"""Runs in: the pusher, a thread of the dispatcher. Claims deliveries, verifies them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from ..brokers.base import Broker
from ..envelope import Delivery, Outcome, choose
from ..errors import NewerPackage, PackageError, QcoreError
from ..results.base import ResultStore
from ..results.routing import is_cached
from ..tasks.execution import Attempt
from .job import Job
from .parts import Parts
from .patience import Patience
from .room import Room
from .tally import Tally

logger = logging.getLogger("qcore.pusher")

#: Seconds that one call may wait in the broker: a stop takes no longer than that.
_WAIT = 1.0
#: Seconds for which a package of a later release is given back each time, and how
#: often: a deploy is over in ten minutes, and then nobody here will ever read it.
_NEWER_DELAY, _NEWER_TIMES = 30.0, 20


class Pusher:
    """The way from the broker to the loop.

    Args:
        parts: what the cluster is made of.
        room: says how many jobs to ask for.
        tally: what the threads share.
        give: hands jobs to the loop.
        give_finished: hands over a job whose end is stored already, and that end.
    """

    def __init__(
        self,
        parts: Parts,
        room: Room,
        tally: Tally,
        give: Callable[[Sequence[Job]], None],
        give_finished: Callable[[Job, Attempt], None],
    ) -> None:
        self._parts = parts
        self._conf = parts.conf
        self._room = room
        self._tally = tally
        self._give = give
        self._give_finished = give_finished
        self._patience = Patience("pusher", tally)

    def run(self) -> None:
        """Claim until the cluster stops; errors of the broker are waited out."""
        broker: Broker | None = None
        while not self._tally.stopping.is_set():
            try:
                if broker is None:
                    broker = self._parts.make_broker()
                self._once(broker)
            except QcoreError as error:
                self._patience.bear(error)
            else:
                self._patience.succeed()
        if broker is not None:
            broker.close()

    def _once(self, broker: Broker) -> None:
        room = self._room.wait(_WAIT)
        if not room or self._tally.stopping.is_set():
            return
        limit = min(room, self._conf.fetch_limit)
        deliveries = broker.dequeue(limit, _WAIT)
        if not deliveries:
            self._tally.queue_empty.set()
            return
        self._tally.queue_empty.clear()
        jobs, bad = self._verify(deliveries)
        if any(_may_be_finished(job) for job in jobs):
            jobs = self._drop_finished(self._drop_copies(jobs))
        self._tally.held.update(jobs)
        self._room.arrive(len(jobs))
        self._give(jobs)
        # last, so that trouble with the bad ones costs the good ones nothing
        for delivery, error in bad:
            self._set_aside(broker, delivery, error)

    def _verify(
        self, deliveries: Sequence[Delivery]
    ) -> tuple[list[Job], list[tuple[Delivery, PackageError]]]:
        """Return the jobs, and the deliveries that cannot be one with the reason."""
        jobs = []
        bad = []
        for delivery in deliveries:
            try:
                jobs.append(Job(self._parts.verify(delivery.package), delivery))
            except PackageError as error:
                bad.append((delivery, error))
        return jobs, bad

    def _set_aside(
        self, broker: Broker, delivery: Delivery, error: PackageError
    ) -> None:
        if not isinstance(error, NewerPackage) or delivery.attempt > _NEWER_TIMES:
            self._quarantine(broker, delivery, error)
            return
        logger.warning("%s It is given back.", error)
        # a broker that cannot delay would give it to us again at once: its lease does it
        if broker.supports_release and broker.supports_delay:
            broker.release([delivery.receipt], delay=_NEWER_DELAY)

    def _quarantine(
        self, broker: Broker, delivery: Delivery, error: PackageError
    ) -> None:
        """Put a package aside, where a person can look at it; then remove it."""
        self._tally.quarantined += 1
        self._tally.stir()
        logger.error(
            "quarantined a package of %d bytes: %s", len(delivery.package), error
        )
        self._parts.make_store(False).quarantine(
            broker.queue, delivery.package, type(error).__name__, str(error)
        )
        broker.fail(delivery.receipt)

    def _drop_copies(self, jobs: list[Job]) -> list[Job]:
        """Leave further deliveries of what is in this cluster's hands to their lease.

        Before the store is asked: the first delivery may end while the copy waits for
        a worker. Once it is settled it is stored, and ``_drop_finished`` knows it.
        """
        now = time.monotonic()
        ours = {
            job.task.id
            for job in list(self._tally.held)
            if not job.lost and job.lease_end > now
        }
        kept = []
        for job in jobs:
            if job.task.id in ours:
                logger.info("%s was delivered twice; one of them is left", job.task.id)
                continue
            ours.add(job.task.id)
            kept.append(job)
        return kept

    def _drop_finished(self, jobs: list[Job]) -> list[Job]:
        """Hand over those jobs whose end is stored already.

        Their first acknowledgement was lost; they need another one, not another run.
        """
        remaining = jobs
        for cached in (False, True):
            again = [
                job
                for job in remaining
                if _may_be_finished(job)
                and cached == bool(is_cached(job.task, self._conf))
            ]
            ends = self._stored_ends(again, self._parts.make_store(cached))
            for job in again:
                if (end := ends.get(job.task.id)) is not None:
                    self._tally.held.add(job)
                    self._give_finished(job, end)
            remaining = [job for job in remaining if job.task.id not in ends]
        return remaining

    def _stored_ends(
        self, jobs: Sequence[Job], store: ResultStore
    ) -> dict[str, Attempt]:
        """Return the ends of those tasks that will not be run again, by their ids."""
        if not jobs:
            return {}
        created = {job.task.id: job.task.created for job in jobs}
        ends = {
            id: Attempt(Outcome.SUCCESS, value, content, created[id], created[id])
            for id, (content, value) in store.finished(created.keys()).items()
        }
        for job in jobs:
            limit = choose(job.task.options.max_attempts, self._conf.max_attempts)
            # seldom: after the last attempt there is no other unless something was lost
            if not limit or job.attempt <= limit or job.task.id in ends:
                continue
            found = store.fetch(job.task.id)
            if found is not None and found.attempt_count >= limit:
                text = str(found.result).encode(errors="replace")
                at = job.task.created
                ends[job.task.id] = Attempt(found.outcome, text, "text", at, at)
        return ends


def _may_be_finished(job: Job) -> bool:
    return job.attempt > 1 or job.task.may_be_doubled
