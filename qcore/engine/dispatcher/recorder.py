"""Runs in: the recorder, a thread of the dispatcher. Stores results, then acknowledges."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ...brokers.tools import chunks
from ...envelope import UNTOLD, Outcome, Result, choose
from ..services import Services
from .batches import BATCH, RecordQueue, Work
from .deliveries import Deliveries
from .iter_joins import IterJoins
from .job import Job
from .lifecycle import JobState
from .postponed import Postponed
from .ready import ReadyQueue
from .refusals import Refusals
from .result_log import log_results
from .result_writer import ResultWriter
from .retries import Decision, Retries, decide
from .settling import Settling
from .state import SharedState
from .tracking import Tracking

logger = logging.getLogger("qcore.recorder")

#: Results that may wait before no more packages are claimed: two batches keep the
#: recorder busy while more are fetched. Each takes 2 kB, in pages that stay with us.
MOST = 2 * BATCH

#: Read once, for every task comes by: Python 3.11 takes 0.2 µs for a member of an enumeration.
_ENDED, _STORED, _SETTLED = JobState.ENDED, JobState.STORED, JobState.SETTLED
_SUCCESS = Outcome.SUCCESS
_RECORD, _FINISH, _GIVE_BACK = Work.RECORD, Work.FINISH, Work.GIVE_BACK

#: The decisions after which a delivery is acknowledged.
_ENDS = (None, Decision.DONE, Decision.SUPERSEDED, Decision.MOVE)


class Recorder:
    """The way from the loop back to broker and store.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        ready: takes the jobs whose hook is to be called, and wakes the loop.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        ready: ReadyQueue,
    ) -> None:
        self._services = services
        self._conf = services.conf
        self._shared = shared
        self._ready = ready
        # whether the loop is to be woken when the recorder is not behind any more
        self._is_watched = False
        self._waiting = RecordQueue(shared)
        self._postponed = Postponed(shared)
        self._refusals = Refusals(services)
        self._deliveries = Deliveries(services, shared)
        self._retries = Retries(services)
        self._settling = Settling(services, self._deliveries)
        self._writer = ResultWriter(
            services, shared, self._deliveries, self._postponed, self._refusals,
            self._settling,
        )  # fmt: skip
        self._tracking = Tracking(services)
        self._joins = IterJoins(
            services, shared, self._postponed, self._refusals, self._settling.handle
        )

    # -- for other threads -------------------------------------------------------------
    def record(self, job: Job) -> None:
        """Store the end of a job and settle it."""
        job.move(_ENDED)
        self._waiting.put(_RECORD, job)

    def finish(self, job: Job) -> None:
        """Settle a job whose success is stored and whose follow-up is done."""
        job.move(_STORED)
        self._waiting.put(_FINISH, job)

    def give_back(self, job: Job) -> None:
        """Release a job, so that any cluster can claim it."""
        # one that its worker puts off has not begun either
        job.unstarted = job.state is not JobState.RUNNING or job.again is not None
        job.move(JobState.RETURNING)
        self._waiting.put(_GIVE_BACK, job)

    def close(self) -> None:
        """End once everything before this call is recorded."""
        self._waiting.close()

    def is_behind(self) -> bool:
        """Whether results come faster than they are stored; the loop is woken at the end."""
        # before the look: else the batch that ends the queue could come in between
        self._is_watched = True
        self._is_watched = len(self._waiting) + len(self._postponed) > MOST
        return self._is_watched

    # -- the thread ----------------------------------------------------------------------
    def run(self) -> None:
        """Record until closed."""
        self._deliveries.open()
        while not self._waiting.is_closed:
            self._once()
        self._postponed.hasten()
        while self._postponed:
            self._once()
        if self._waiting.when_idle is not None:
            self._tidy()  # nobody else may for two leases
        self._deliveries.close()

    def _once(self) -> None:
        # a method, so that the next wait does not keep the last batch in memory
        batch = self._waiting.take(self._postponed.next_at)
        self._wake_loop()
        with self._shared.steps.of("recorder"):
            self._do(batch)
        self._waiting.done()
        self._wake_loop()  # once more: what was postponed is stored, perhaps
        if self._services.make_store().is_untidy:
            self._waiting.when_idle = self._tidy
        self._shared.changed()

    def _do(self, batch: Sequence[tuple[Work, Job]]) -> None:
        if due := self._postponed.take_due():
            batch = [*due, *batch]
        ended = [job for work, job in batch if work is _RECORD]
        self._record(ended)
        if len(ended) < len(batch):
            self._end_others(batch)

    def _end_others(self, batch: Sequence[tuple[Work, Job]]) -> None:
        """Settle, or give back, the jobs of a batch of which no end is to be stored."""
        finished = [job for work, job in batch if work is _FINISH]
        self._tracking.note_finished(finished)
        self._settle(self._told_again(finished))
        if returned := [job for work, job in batch if work is _GIVE_BACK]:
            self._settling.gave_back(returned)
            self._tracking.note_returned(returned)
            self._give_back(returned)

    def _give_back(self, jobs: Sequence[Job]) -> None:
        """Give jobs back, each after the seconds that it has asked for.

        A broker that cannot delay would hand them out again at once: they are left to
        their leases.
        """
        delays: dict[float, list[Job]] = {}
        for job in jobs:
            delays.setdefault(job.again or 0.0, []).append(job)
        for delay, its in delays.items():
            if not delay or self._deliveries.broker.supports_delay:
                self._deliveries.give_back(its, delay=min(delay, self._conf.retry))
            else:
                for job in its:
                    self._shared.settle(job, JobState.LEFT)

    def _told_again(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Have plugins told of recognised ends; leave the others to their leases."""
        told = self._settling.told_again(jobs)
        if len(told) < len(jobs):
            for job in set(jobs).difference(told):
                self._shared.settle(job, JobState.LEFT)
        return told

    def _wake_loop(self) -> None:
        """Wake the loop if it waits for the recorder: it may let the pusher claim more."""
        if self._is_watched and len(self._waiting) + len(self._postponed) <= MOST:
            self._is_watched = False
            self._ready.wake()

    def _tidy(self) -> None:
        try:
            with self._shared.steps.of("recorder"):
                self._services.make_store().tidy()
        except Exception as error:  # noqa: BLE001 - the next batch does it
            logger.warning("old results are not pruned now: %s", error)

    # -- storing ---------------------------------------------------------------------------
    def _record(self, jobs: Sequence[Job]) -> None:
        for route, part in self._parts(jobs):
            if self._postponed.is_away(route):
                self._postponed.add(route, _RECORD, self._without_unsaved(route, part))
                continue
            if not self._decide(route, part):
                self._postponed.add(route, _RECORD, part)
                continue
            plain, own = self._settling.parted(part)
            self._store(route, plain, settle=False)
            self._store(route, own, settle=True)

    def _without_unsaved(self, route: str, jobs: Sequence[Job]) -> Sequence[Job]:
        """Go on with jobs of which nothing is stored; return those that wait for a store."""
        if self._deliveries.broker.database is not None:
            return jobs  # it may be the database that is away
        unsaved = [job for job in jobs if self._needs_no_store(job)]
        if not unsaved:
            return jobs
        self._decide(route, unsaved)
        for job in unsaved:
            job.is_open = True  # it is not acknowledged
            job.move(_STORED)
        self._go_on(unsaved)
        others = set(unsaved)
        return [job for job in jobs if job not in others]

    def _needs_no_store(self, job: Job) -> bool:
        """Whether nothing of the end of a job is stored, in the result store or the ledger."""
        task, ended = job.task, job.ended
        if ended is None or ended.outcome != _SUCCESS or task.iter_count is not None:
            return False  # the calls of an iter are joined from what is stored
        if task.options.track is True or job.has_ticket or job.next_package is not None:
            return False
        saved = choose(task.options.save, self._conf.save_limit >= 0)
        return not saved

    def _store(self, route: str, jobs: Sequence[Job], *, settle: bool) -> None:
        if not jobs:
            return
        for stored in self._writer.store(route, jobs, settle=settle):
            for job in stored:
                job.move(_STORED)
            self._go_on(self._without_superseded(stored) if settle else stored)

    def _without_superseded(self, jobs: Sequence[Job]) -> list[Job]:
        """Acknowledge superseded jobs, whose end does not count; return the others."""
        left = []
        for job in jobs:
            if job.decision is not Decision.SUPERSEDED:
                left.append(job)
                continue
            logger.info(
                "%s has ended or was sent again meanwhile; this end is dropped",
                job.task.id,
            )
            if job.is_open:
                self._settle([job])
            else:
                self._shared.settle(job, _SETTLED)
        return left

    def _parts(self, jobs: Iterable[Job]) -> Iterator[tuple[str, Sequence[Job]]]:
        """Yield jobs whose results are stored together, with their route."""
        store = self._services.make_store()
        routes: dict[str, list[Job]] = {}
        for job in jobs:
            routes.setdefault(store.route(job.task), []).append(job)
        for route, its in routes.items():
            for part in chunks(its, BATCH):
                yield route, part

    def _decide(self, route: str, jobs: Sequence[Job]) -> bool:
        """Log how jobs have ended, and decide what becomes of their deliveries.

        Returns:
            False if that cannot be decided yet, because their store is away.
        """
        for job in jobs:
            assert job.ended is not None
            if job.result is not None:
                continue  # it was postponed
            # the attempts before one that got further do not count
            counted = 1 if job.ended.fresh else job.attempt
            result = job.ended.result(job.task, counted)
            if result.outcome != _SUCCESS:
                try:
                    crashes = self._crashes(route, job)
                except Exception as error:  # noqa: BLE001 - stores are plugins
                    self._postponed.failed(route, error)
                    return False
                decision = decide(result, crashes, self._conf, job.ended.how)
                if decision is Decision.LATER:
                    decision = self._retries.choose_way(
                        job,
                        self._deliveries.broker,
                        has_ledger=lambda: self._settling.handle.ledger() is not None,
                    )
                job.decision = decision
                if decision is not Decision.DONE:
                    result = msgspec.structs.replace(result, final=False)
            job.result = result
        return True

    def _crashes(self, route: str, job: Job) -> int:
        """Return how many attempts have killed their worker, this one included.

        Raises:
            Exception: the store is away.
        """
        if job.ended is None or job.ended.outcome != Outcome.CRASH:
            return 0
        try:
            store = self._services.make_store().part(route)
            return store.crashes([job.task.id]).get(job.task.id, 0) + 1
        except Exception as error:
            if not self._refusals.is_refusal(error, route):
                raise
            logger.warning("crashes of %s are not known: %s", job.task.id, error)
            return job.attempt

    def _go_on(self, jobs: Sequence[Job]) -> None:
        """Do the next step for jobs whose results are stored."""
        results = [
            job.result
            for job in jobs
            if job.result is not None and job.result.outcome not in UNTOLD
        ]
        failed = [result for result in results if result.outcome != _SUCCESS]
        self._count(len(results), failed)
        # without a failure, and above INFO, there is no line to write
        if failed or logger.isEnabledFor(logging.INFO):
            log_results(results, jobs, self._conf.max_attempts)
        further = []
        for job in jobs:
            if job.is_open:
                further.append(job)
            else:
                self._shared.settle(job, _SETTLED)
        self._continue(further)
        self._announce(results)

    def _count(self, ended: int, failed: Sequence[Result]) -> None:
        self._shared.succeeded += ended - len(failed)
        self._shared.failed += len(failed)
        self._shared.crashed += sum(one.outcome == Outcome.CRASH for one in failed)

    def _announce(self, results: Sequence[Result]) -> None:
        try:
            self._services.notify("qcore_results_recorded", results=results)
        except BaseException:  # sys.exit in an observer is not the end of recording
            logger.exception("an observer of recorded results failed")

    # -- settling ------------------------------------------------------------------------
    def _continue(self, jobs: Sequence[Job]) -> None:
        """Do the follow-up of stored results; after that, what was decided for them."""
        done = []
        for job in jobs:
            assert job.ended is not None
            if job.task.hook is not None and job.ended.outcome not in UNTOLD:
                self._ready.put(job)
            else:
                done.append(job)
        self._settle(done)

    def _settle(self, jobs: Sequence[Job]) -> None:
        """Send what follows, then acknowledge, give back or leave each delivery."""
        if not jobs:
            return
        jobs = self._send_following(self._joins.join(jobs))
        done: list[Job] = []
        again: list[Job] = []
        put_off: dict[float, list[Job]] = {}
        left: list[Job] = []
        for job in jobs:
            if job.decision in _ENDS:
                done.append(job)
            elif job.decision is Decision.AT_ONCE:
                again.append(job)
            elif job.decision is Decision.AFTER:
                put_off.setdefault(job.again or 0.0, []).append(job)
            else:
                left.append(job)
        undone = self._deliveries.acknowledge(done)
        self._writer.confirm(done, undone)
        self._settling.acknowledged([job for job in done if job not in undone])
        self._deliveries.give_back(again)
        for delay, its in put_off.items():
            self._deliveries.give_back(its, delay=delay)
        for job in [*left, *undone]:
            self._shared.settle(job, JobState.LEFT)
        for job in done:
            self._shared.settle(job, _SETTLED)

    def _send_following(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Send next links; return the jobs that may be acknowledged now.

        If a link could not be sent and is no row of the outbox, the delivery of its
        predecessor stays unacknowledged. It is delivered again when its lease ends, and the
        follow-up is done again.
        """
        following = [
            job
            for job in jobs
            if job.next_package is not None and not self._settling.is_left_to_relay(job)
        ]
        if not following:
            return jobs  # nearly always
        unsent = set(self._deliveries.send_next(following))
        self._settling.followed(
            [job for job in following if job not in unsent], list(unsent)
        )
        lost = {job for job in unsent if not job.has_outbox_row}
        for job in lost:
            self._shared.settle(job, JobState.LEFT)
        return [job for job in jobs if job not in lost]
