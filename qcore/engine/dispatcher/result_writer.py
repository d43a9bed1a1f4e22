"""Runs in: the recorder. Stores batches; a result that the store refuses stops no other.

An error of a store is one of two kinds. Either it passes: then the whole batch is tried
again until that works. Or it is a refusal: the store will never take one of the results.
If the error does not tell its kind, the store is asked whether it takes a small result. If
it does, the batch is halved until the culprit is alone, and a note replaces its value.

The error "cannot be reached" is no proof that the store is away. Redis closes a connection
that sends a value above its limit, and the driver then says the same as for a server that
is away. So a result that fails alone, again and again, while the store answers, comes under
suspicion. If the store takes a small failure of the *same task*, the value is to blame.
(The same task, because a cache may have several servers, and another server may have
answered.) An error about a lock is never a refusal.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial

from ...envelope import Result
from ...errors import (
    BrokerError,
    BrokerUnavailable,
    LedgerError,
    StoreBusy,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from ...results.routed import is_saved
from ..services import Services
from .batches import Work
from .deliveries import Deliveries
from .fallback import probe, use_fallback
from .job import Job
from .lifecycle import JobState
from .postponed import Postponed
from .refusals import Refusals
from .settling import Settling, needs_more
from .state import SharedState
from .tracking import NotTracked, Tracking

logger = logging.getLogger("qcore.recorder")

#: Failures of one result alone, while a store that says it is away answers, after which
#: the result is probed.
DOUBTS = 3


class ResultWriter:
    """The way from ended jobs to stored results.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        deliveries: acknowledges what is done with, in one transaction where there is one.
        postponed: keeps what a store does not take now.
        refusals: judges what a store raises.
        settling: stores and settles the jobs that use the ledger.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        deliveries: Deliveries,
        postponed: Postponed,
        refusals: Refusals,
        settling: Settling,
    ) -> None:
        self._services = services
        self._conf = services.conf
        self._shared = shared
        self._deliveries = deliveries
        self._postponed = postponed
        self._refusals = refusals
        self._settling = settling
        self._tracking = Tracking(services)

    def store(
        self, route: str, jobs: Sequence[Job], *, settle: bool = False
    ) -> Iterator[Sequence[Job]]:
        """Store jobs of one route in their order, and yield each part that is stored.

        Jobs that need nothing more are acknowledged, too. Jobs that the store does not
        take now are postponed.

        Args:
            route: of the store.
            jobs: all with the same ``settle``.
            settle: whether they are settled in the ledger, too. They wait apart from the
                others while one of the two is away.
        """
        wait = _with_ledger(route) if settle else route
        save = self._settle if settle else self._save
        waiting = deque([jobs])
        while waiting:
            part = waiting.popleft()
            if self._postponed.is_away(wait):
                self._postponed.add(wait, Work.RECORD, part)
                continue
            try:
                save(route, part)
            except Exception as error:  # noqa: BLE001 - stores are plugins
                waiting.extendleft(reversed(self._after(route, wait, part, error)))
            else:
                self._deliveries.works()
                self._postponed.works(wait)
                self._postponed.forget(job.task.id for job in part)
                yield part

    def confirm(self, jobs: Sequence[Job], undone: Sequence[Job]) -> None:
        """Tell the store which deliveries are acknowledged: those of all jobs but ``undone``."""
        if undone:
            left = set(undone)
            jobs = [job for job in jobs if job not in left]
        try:
            self._services.make_store().acknowledged([job.task.id for job in jobs])
        except Exception as error:  # noqa: BLE001 - they are stored, and that counts
            logger.warning(
                "the store was not told which deliveries are acknowledged: %s", error
            )

    # -- storing -------------------------------------------------------------------------
    def _save(self, route: str, jobs: Sequence[Job]) -> None:
        """Store results and acknowledge, in this order or in one transaction."""
        results = [job.result for job in jobs if job.result is not None]
        for job in jobs:
            job.is_open = needs_more(job)
        done = [job for job in jobs if not job.is_open]
        undone: Sequence[Job] = ()
        tracked = [
            job.result
            for job in jobs
            if job.task.options.track is True and job.result is not None
        ]
        try:
            self._commit(route, results, tracked, done)
        except BrokerUnavailable:
            raise
        except BrokerError as error:
            # of one receipt perhaps; no result waits for that
            logger.warning("results are stored without acknowledgements: %s", error)
            self._commit(route, results, tracked, ())
            undone = self._deliveries.acknowledge_each(done)
        self.confirm(done, undone)

    def _settle(self, route: str, jobs: Sequence[Job]) -> None:
        """Store results and settle their jobs in the ledger."""
        store = self._services.make_store().part(route)
        commit = partial(self._settling.commit, store, jobs, self._is_kept)
        try:
            done = commit()
        except BrokerUnavailable:
            raise
        except BrokerError as error:
            # of one receipt perhaps: each is asked for by itself, afterwards
            logger.warning("results are stored without acknowledgements: %s", error)
            done = commit(acknowledge=False)
        if done:
            self.confirm(done, ())

    def _is_kept(self, result: Result) -> bool:
        return is_saved(result, self._conf)

    def _commit(
        self,
        route: str,
        results: Sequence[Result],
        tracked: Sequence[Result],
        done: Sequence[Job],
    ) -> None:
        store = self._services.make_store().part(route)
        kept = [result for result in results if is_saved(result, self._conf)]
        with store.joined(self._deliveries.broker):
            if tracked:
                self._tracking.save(store, kept, tracked)
            elif kept:
                store.save(kept)
            self._deliveries.acknowledge_now(done)

    # -- after a failure -----------------------------------------------------------------
    def _after(
        self, route: str, wait: str, part: Sequence[Job], error: Exception
    ) -> list[Sequence[Job]]:
        """Return the parts to try next in the place of a part that was not stored.

        Args:
            route: of the store.
            wait: where the jobs wait while store or ledger is away.
            part: of the jobs.
            error: what has failed.
        """
        is_cut = self._shared.steps.was_cut("recorder")
        if isinstance(error, BrokerError):
            self._deliveries.wait_out(error)
            return [part]
        if is_cut and isinstance(error, StoreError):
            error = StoreBusy(str(error))  # it says nothing of the value
        if isinstance(error, LedgerError):
            return self._after_ledger(wait, part, error)
        if isinstance(error, NotTracked):
            return self._without_tracked(part, error)
        if not self._refusals.may_be_refusal(error, route):
            for job in part:
                job.doubted, job.cuts = False, 0  # a store may be coming back next
            self._postponed.failed(wait, error)
            return [part]
        if len(part) > 1:
            logger.warning(
                "the store refuses %d results together; each half is tried alone: %s",
                len(part),
                error,
            )
            half = len(part) // 2
            return [part[:half], part[half:]]
        (job,) = part
        if self._is_to_be_tried_again(route, job, error):
            return []
        if not isinstance(error, StoreUnavailable | StoreRefused) and not job.doubted:
            # The store may have come back between the failure and the question.
            job.doubted, job.cuts = True, 0
            return [part]
        return self._note_in_place(job, error)

    def _after_ledger(
        self, wait: str, part: Sequence[Job], error: LedgerError
    ) -> list[Sequence[Job]]:
        """Return the parts to try next: a job that the ledger refuses stops no other.

        No note helps such a job. It stays unacknowledged, its lease is renewed, and the
        job is tried again after pauses of its own.
        """
        if not self._settling.handle.answers():
            self._postponed.failed(wait, error)
            return [part]
        if len(part) > 1:
            half = len(part) // 2
            return [part[:half], part[half:]]
        (job,) = part
        self._postponed.add_alone(job.task.id, Work.RECORD, [job], error)
        return []

    def _without_tracked(
        self, part: Sequence[Job], error: Exception
    ) -> list[Sequence[Job]]:
        """Postpone the tracked jobs of a part, one by one; return the others."""
        others = []
        for job in part:
            if job.task.options.track is True:
                self._postponed.add_alone(job.task.id, Work.RECORD, [job], error)
            else:
                others.append(job)
        return [others] if others else []

    def _is_to_be_tried_again(self, route: str, job: Job, error: Exception) -> bool:
        """Whether a job that its store does not take is postponed: what it says passes."""
        if not isinstance(error, StoreUnavailable):
            return False
        job.doubted = False  # the store is coming back, perhaps
        if not isinstance(error, StoreBusy) and self._is_to_blame(route, job, error):
            return False
        self._postponed.add_alone(job.task.id, Work.RECORD, [job], error)
        return True

    def _is_to_blame(self, route: str, job: Job, error: Exception) -> bool:
        """Whether a store that says it is away takes the task, and not this result."""
        job.cuts += 1
        if job.cuts == DOUBTS:
            try:
                self._services.make_store().part(route).save([probe(job, error)])
            except Exception as again:  # noqa: BLE001 - stores are plugins
                logger.debug("the store takes nothing of %s: %s", job.task.id, again)
                job.cuts = 0
        # the store may have come back just before the probe: the result is tried after it
        return job.cuts > DOUBTS

    def _note_in_place(self, job: Job, error: Exception) -> list[Sequence[Job]]:
        """Replace a refused result by a note; return what is to be tried."""
        job.cuts = 0  # for the note is another value
        if use_fallback(job, error):
            return [[job]]
        logger.error(
            "no result of %s can be stored; its delivery is left to its lease",
            job.task.id,
        )
        self._postponed.forget([job.task.id])
        self._shared.settle(job, JobState.LEFT)
        return []


def _with_ledger(route: str) -> str:
    """Return the name under which the jobs of a route wait that need the ledger, too."""
    return f"{route} with the ledger"
