"""Runs in: the pusher, a thread of the dispatcher. Claims deliveries, verifies them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import msgspec

from ...brokers.base import Broker
from ...envelope import Delivery
from ...errors import NewerPackage, PluginLacking
from ..services import ReportFailure, Services
from .admission import Admissions
from .cancelling import Cancelling
from .capacity import Capacity
from .deferred import Deferred
from .guard import Guard, close
from .handover import Handover
from .job import Job, LedgerPart
from .lifecycle import JobState
from .plugins import AbsentPlugins
from .redelivered import Redelivered, may_be_finished, parted
from .state import SharedState
from .suspects import Suspects

logger = logging.getLogger("qcore.pusher")

#: Seconds that one call may wait in the broker: a stop takes no longer than that.
_WAIT = 1.0
#: Seconds for which a package of a later release is given back each time, and how
#: often: a deploy is over in ten minutes, and then nobody here will ever read it.
_NEWER_DELAY, _NEWER_TIMES = 30.0, 20
#: Seconds between two looks at a task that runs alone.
_LOOK = 0.05
#: Deliveries of one task that a broker can mean; more do not fit into an order.
_MOST_ATTEMPTS = 2**31 - 1


class Pusher:
    """The way from the broker to the loop.

    Args:
        services: what the cluster is made of.
        capacity: says how many jobs to ask for.
        shared: what the threads share.
        handover: hands jobs to the loop.
        report: tells error reporters of a failure, and returns at once.
    """

    def __init__(
        self,
        services: Services,
        capacity: Capacity,
        shared: SharedState,
        handover: Handover,
        report: ReportFailure,
    ) -> None:
        self._services = services
        self._conf = services.conf
        self._capacity = capacity
        self._shared = shared
        self._handover = handover
        self._resting = False  # because the queue is paused
        self._guard = Guard("pusher", shared)
        self._absent = AbsentPlugins(shared, 2.0 * services.conf.retry)
        self._cancelling = Cancelling(services, shared, handover)
        self._late = Deferred(shared)
        self._admissions = Admissions(services, shared, handover, self._late)
        self._suspects = Suspects(services, shared, self._admissions, report)
        self._redelivered = Redelivered(
            services, shared, self._admissions, self._suspects, self._late
        )

    def run(self) -> None:
        """Claim until the cluster stops; wait after every error."""
        self._shared.claims_ended.clear()
        broker: Broker | None = None
        while not self._shared.stopping.is_set():
            try:
                if broker is None:
                    broker = self._services.make_broker()
                with self._shared.steps.of("pusher"):
                    self._once(broker)
            except BaseException as error:  # noqa: BLE001 - it is a stranger's code
                self._guard.wait_out(error)
            else:
                self._guard.over()
        self._shared.claims_ended.set()
        # first what the loop waits for: the store may be away
        self._handover.give(self._taken())
        try:
            self._suspects.stop()
        except Exception as error:  # noqa: BLE001 - the cluster stops all the same
            self._guard.note("a suspect that the stop ends stays marked", error)
        close(broker, "pusher")

    def _once(self, broker: Broker) -> None:
        if self._is_paused():
            self._handover.give(self._taken())  # the loop gives them back
            self._capacity.wait(_WAIT)
            return
        self._admissions.give(self._redelivered.sort([]))
        self._late.flush(broker)
        self._set_all_aside(broker, self._given_up())
        self._absent.look()
        self._admissions.look()
        waiting = len(self._redelivered)
        if not self._suspects.may_claim(broker, waiting):
            self._shared.stopping.wait(_LOOK)
            return
        capacity = self._capacity.wait(_WAIT) - waiting
        if capacity <= 0 or self._shared.stopping.is_set() or self._is_paused():
            return
        limit = min(capacity, self._conf.fetch_limit)
        deliveries = broker.dequeue(limit, _WAIT)
        if not deliveries:
            self._shared.queue_empty.set()
            return
        self._shared.queue_empty.clear()
        jobs, bad = self._verify(deliveries)
        if self._shared.has_marks:
            jobs = self._cancelling.sift(jobs)
        if any([may_be_finished(job) for job in jobs]):  # noqa: C419 - faster
            jobs, others = parted(self._drop_copies(jobs))
            self._admissions.give(jobs)
            self._shared.held.update(others)
            jobs = self._redelivered.sort(others)
        self._admissions.give(jobs)
        self._late.flush(broker)
        bad += self._given_up()
        # last, so that trouble with the bad ones costs the good ones nothing
        self._set_all_aside(broker, bad)

    def _set_all_aside(
        self, broker: Broker, bad: Sequence[tuple[Delivery, Exception]]
    ) -> None:
        for delivery, error in bad:
            try:
                self._set_aside(broker, delivery, error)
            except Exception as problem:  # noqa: BLE001 - its lease brings it back
                self._guard.note("a bad package is left to its lease", problem)

    def _given_up(self) -> list[tuple[Delivery, Exception]]:
        """Return deliveries whose tasks are given up by those who decide about them."""
        found: list[tuple[Delivery, Exception]] = []
        for job, reason in self._admissions.given_up():
            is_ours, job.lost = not job.lost, True
            self._shared.settle(job, JobState.LEFT if is_ours else JobState.LOST)
            if is_ours:
                found.append((job.delivery, reason))
        return found

    def _taken(self) -> list[Job]:
        """Return the jobs that wait in this thread, because the cluster stops or pauses."""
        waiting = (self._redelivered, self._late, self._suspects)
        jobs = [job for holder in waiting for job in holder.take()]
        return jobs + [job for job, _ in self._admissions.given_up()]

    def _is_paused(self) -> bool:
        """Whether the queue is paused; if so, say that nothing is being claimed."""
        paused = self._shared.pause is not None
        if paused is not self._resting:
            self._resting = paused
            if paused:
                self._shared.claims_ended.set()
            else:
                self._shared.claims_ended.clear()
            self._shared.changed()
        if paused:
            self._shared.queue_empty.set()  # there is nothing for us
        return paused

    def _verify(
        self, deliveries: Sequence[Delivery]
    ) -> tuple[list[Job], list[tuple[Delivery, Exception]]]:
        """Return the jobs, and the bad deliveries, each with the reason."""
        jobs = []
        bad: list[tuple[Delivery, Exception]] = []
        for delivery in deliveries:
            try:
                task = self._services.verify(delivery.package)
                # else the loop, or a store, would stumble over what a stranger has sent
                if not (
                    0 < delivery.attempt <= _MOST_ATTEMPTS and delivery.lease_end > 0
                ):
                    delivery = self._corrected(delivery)  # noqa: PLW2901
                job = Job(task, delivery)
                if task.needs:
                    job.ledger = LedgerPart()  # its attempts are counted there
                    if (plugin := self._admissions.lacking(job)) is not None:
                        raise PluginLacking(task.id, plugin)
            except Exception as error:  # noqa: BLE001 - of one delivery; the others go on
                bad.append((delivery, error))
            else:
                jobs.append(job)
        return jobs, bad

    def _corrected(self, delivery: Delivery) -> Delivery:
        """Return a delivery with possible numbers in the place of impossible ones."""
        attempt = min(max(delivery.attempt, 1), _MOST_ATTEMPTS)
        lease_end = delivery.lease_end
        if not lease_end > 0:
            lease_end = time.monotonic() + self._conf.retry
        logger.warning(
            "the broker reports attempt %r and a lease until %r; attempt %d is used",
            delivery.attempt, delivery.lease_end, attempt,
        )  # fmt: skip
        return msgspec.structs.replace(delivery, attempt=attempt, lease_end=lease_end)

    def _set_aside(self, broker: Broker, delivery: Delivery, error: Exception) -> None:
        if isinstance(error, PluginLacking):
            is_over = self._absent.note(error.task_id, error.plugin)
        else:
            is_over = (
                not isinstance(error, NewerPackage) or delivery.attempt > _NEWER_TIMES
            )
        if is_over:
            self._quarantine(broker, delivery, error)
            return
        logger.warning("%s The package is given back.", error)
        # a broker that cannot delay would give it to us again at once: its lease does it
        if broker.supports_release and broker.supports_delay:
            broker.release([delivery.receipt], delay=_NEWER_DELAY)

    def _quarantine(self, broker: Broker, delivery: Delivery, error: Exception) -> None:
        """Keep a package in the quarantine for a person to look at; then remove it."""
        package = delivery.package
        if not isinstance(package, bytes):  # a broker's bug; its text is all there is
            package = repr(package).encode(errors="replace")
        logger.error(
            "quarantined a package of %d bytes: %s: %s",
            len(package), type(error).__name__, error,
        )  # fmt: skip
        self._services.make_store().quarantine(
            broker.queue, package, type(error).__name__, str(error)
        )
        broker.fail(delivery.receipt)
        self._shared.quarantined += 1
        self._shared.changed()

    def _drop_copies(self, jobs: list[Job]) -> list[Job]:
        """Return the jobs without further deliveries of tasks that this cluster holds.

        This comes before the question to the store: the first delivery may end while its
        copy waits for a worker. After it is settled it is stored, and `Redelivered` finds
        the stored end.
        """
        now = time.monotonic()
        ours = {
            (job.task.id, job.task.gen)
            for job in list(self._shared.held)
            if not job.lost and job.lease_end > now
        }
        kept = []
        for job in jobs:
            if (job.task.id, job.task.gen) in ours:
                logger.info(
                    "%s was delivered twice; this delivery is left to its lease",
                    job.task.id,
                )
                continue
            ours.add((job.task.id, job.task.gen))
            kept.append(job)
        return kept
