"""Runs in: the recorder, a thread of the dispatcher. Stores results, then acknowledges."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from ...brokers.base import Broker
from ...envelope import Outcome, Result
from ...errors import BrokerError, BrokerUnavailable, QcoreError
from ...printable import first_line, printable_lines, shorten
from ...results import routing
from ..services import Services
from .batches import RecordQueue, Work
from .guard import close
from .iter_joins import IterJoins
from .job import Job
from .lifecycle import JobState
from .outages import Outage
from .ready import ReadyQueue
from .result_writer import ResultWriter
from .retries import Decision, decide
from .state import SharedState

logger = logging.getLogger("qcore.recorder")

T = TypeVar("T")

#: Things of which the broker refuses each, one by one, to be asked for no more of them.
_FEW = 3
#: Seconds for which a stop waits until the pusher has left the broker: a little longer than
#: one of its calls may wait there.
_CLAIM = 1.5
#: Characters of a traceback in the log; the result has more.
_LONGEST_TRACE = 8_000


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
        self._waiting = RecordQueue(shared, ready)
        self._outage = Outage("recorder", shared)
        self._writer = ResultWriter(
            services, self._outage, self._save, self._record_later, self._leave
        )
        self._joins = IterJoins(services, shared, self._outage, self._writer)

    # -- for other threads -------------------------------------------------------------
    def record(self, job: Job) -> None:
        """Store the end of a job and settle it."""
        job.move(JobState.ENDED)
        self._waiting.put(Work.RECORD, job)

    def finish(self, job: Job) -> None:
        """Settle a job whose success is stored and whose follow-up is done."""
        job.move(JobState.STORED)
        self._waiting.put(Work.FINISH, job)

    def give_back(self, job: Job) -> None:
        """Return a job to the broker, for whoever wants it next."""
        job.move(JobState.RETURNING)
        self._waiting.put(Work.GIVE_BACK, job)

    def close(self) -> None:
        """End once everything before this call is recorded."""
        self._waiting.close()

    def is_behind(self) -> bool:
        """Whether results come faster than they are stored; the loop is woken at the end."""
        return self._waiting.is_too_long()

    # -- the thread ----------------------------------------------------------------------
    def run(self) -> None:
        """Record until closed."""
        self._broker = self._make_broker()
        while not self._waiting.is_closed:
            self._once()
        if self._waiting.when_idle is not None:
            self._tidy()  # nobody else may for two leases
        close(self._broker, "recorder")

    def _make_broker(self) -> Broker:
        """Return a broker; a stop does not wait for one that cannot be made."""
        while True:
            try:
                return self._services.make_broker()
            except Exception as error:  # noqa: BLE001 - it is a stranger's code
                self._outage.wait_out(error)

    def _once(self) -> None:
        # a method, so that the next wait does not keep the last batch in memory
        batch = self._waiting.take()
        self._record([job for what, job in batch if what is Work.RECORD])
        self._settle([job for what, job in batch if what is Work.FINISH])
        self._return([job for what, job in batch if what is Work.GIVE_BACK])
        self._waiting.done()
        if self._services.make_store(False).is_untidy:
            self._waiting.when_idle = self._tidy
        self._shared.changed()

    def _tidy(self) -> None:
        try:
            self._services.make_store(False).tidy()
        except Exception as error:  # noqa: BLE001 - the next batch does it
            logger.warning("old results are not pruned now: %s", error)

    # -- storing ---------------------------------------------------------------------------
    def _record(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        for job in jobs:
            self._handle_reply(job)
        for part in self._writer.store(jobs):
            for job in part:
                job.move(JobState.STORED)
            self._go_on(part)

    def _record_later(self, job: Job) -> None:
        """Put a job behind all that wait: its store is away."""
        self._waiting.put(Work.RECORD, job)

    def _leave(self, job: Job) -> None:
        """Leave a job to its lease: no store takes its result."""
        self._shared.settle(job, JobState.LEFT)

    def _handle_reply(self, job: Job) -> None:
        """Say how a job has ended, and what becomes of its delivery."""
        assert job.ended is not None
        if job.result is not None:
            return  # it was put back, because its store is away
        result = job.ended.result(job.task, job.attempt)
        if not result.success:
            job.decision = self._decide(job, result)
            if job.decision is not Decision.DONE:
                result = msgspec.structs.replace(result, final=False)
        job.result = result

    def _go_on(self, jobs: Sequence[Job]) -> None:
        """Do what is to be done for jobs whose results are stored."""
        results = [job.result for job in jobs if job.result is not None]
        self._count(results)
        further = []
        for job in jobs:
            if self._needs_more(job):
                further.append(job)
            else:
                self._shared.settle(job, JobState.SETTLED)
        self._continue(further)
        self._announce(results)

    def _announce(self, results: Sequence[Result]) -> None:
        try:
            self._services.notify("qcore_results_recorded", results=results)
        except BaseException:  # sys.exit in an observer is not the end of recording
            logger.exception("an observer of recorded results failed")

    def _needs_more(self, job: Job) -> bool:
        """Whether acknowledging is not the only thing left to do.

        A call of an ``async_iter`` may be the last one, and then the joined result
        must be stored before the delivery goes: nothing else would bring it about.
        """
        assert job.result is not None
        task = job.task
        is_iter = task.iter_count is not None
        return is_iter or not job.result.success or task.follows_up

    def _save(self, jobs: Sequence[Job]) -> None:
        """Store results and acknowledge, in this order or in one transaction."""
        results = [job.result for job in jobs if job.result is not None]
        done = [job for job in jobs if not self._needs_more(job)]
        undone: Sequence[Job] = ()
        try:
            self._commit(results, done)
        except BrokerUnavailable:
            raise
        except BrokerError as error:
            # of one receipt perhaps; no result waits for that
            logger.warning("results are stored without acknowledgements: %s", error)
            self._commit(results, ())
            undone = self._each(self._acknowledge, done)
        self._confirm(done, undone)

    def _commit(self, results: Sequence[Result], done: Sequence[Job]) -> None:
        database, cache = routing.split(results, self._conf)
        store = self._services.make_store(False)
        with store.joined(self._broker):
            if database:
                store.save(database)
            if cache:
                self._services.make_store(True).save(cache)
            try:
                self._acknowledge(done)
            except QcoreError:
                raise
            except Exception as error:  # else it would be taken for the store's
                raise BrokerError(f"{type(error).__name__}: {error}") from error

    def _count(self, results: Sequence[Result]) -> None:
        # asked once for a batch: most of its lines are of that level
        is_told = logger.isEnabledFor(logging.INFO)
        for result in results:
            if result.success:
                self._shared.succeeded += 1
            else:
                self._shared.failed += 1
                self._shared.crashed += result.outcome == Outcome.CRASH
            if is_told or not result.success:
                _log(result)

    # -- deciding ----------------------------------------------------------------------
    def _continue(self, jobs: Sequence[Job]) -> None:
        """Do what stored results ask for: their follow-up first, else their verdict."""
        done = []
        for job in jobs:
            assert job.result is not None
            if job.task.hook is not None:
                self._ready.put(job)
            else:
                done.append(job)
        self._settle(done)

    def _settle(self, jobs: Sequence[Job]) -> None:
        """Send what follows, then acknowledge, give back or leave each delivery."""
        if not jobs:
            return
        jobs = self._send_following(self._join_iters(jobs))
        done: list[Job] = []
        again: list[Job] = []
        left: list[Job] = []
        for job in jobs:
            if job.decision in (None, Decision.DONE):
                done.append(job)
            elif job.decision is Decision.AT_ONCE:
                again.append(job)
            else:
                left.append(job)
        undone = self._insist(self._acknowledge, done)
        self._confirm(done, undone)
        self._return(again)
        for job in [*left, *undone]:
            self._shared.settle(job, JobState.LEFT)
        for job in done:
            self._shared.settle(job, JobState.SETTLED)

    def _join_iters(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Join the iters of which these jobs may have been the last.

        Where one cannot be joined now, its jobs keep their deliveries: one that comes
        again is recognised, and brings the iter here once more.
        """
        ended = [
            job
            for job in jobs
            if job.task.iter_count is not None and job.decision in (None, Decision.DONE)
        ]
        if not ended:
            return jobs
        fresh = [job.task for job in ended if job.result is not None]
        again = [job.task for job in ended if job.result is None]
        waiting = self._joins.join(fresh, wait=True)
        waiting |= self._joins.join(again, wait=False)
        return self._keep([job for job in jobs if job.task.group not in waiting], jobs)

    def _send_following(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Send next links; return the jobs that may be acknowledged now.

        Where a link could not be sent, its predecessor keeps its delivery: it comes
        back after its lease, and its follow-up is done again.
        """
        following = [job for job in jobs if job.next_package is not None]
        unsent = set(self._insist(self._send, following))
        return self._keep([job for job in jobs if job not in unsent], jobs)

    def _keep(self, settled: Sequence[Job], jobs: Sequence[Job]) -> Sequence[Job]:
        """Leave the jobs that are not settled to their lease; return those that are."""
        if len(settled) < len(jobs):
            for job in set(jobs) - set(settled):
                self._shared.settle(job, JobState.LEFT)
        return settled

    def _send(self, jobs: Sequence[Job]) -> None:
        packages = [job.next_package for job in jobs if job.next_package is not None]
        self._broker.enqueue_many(packages)

    def _decide(self, job: Job, result: Result) -> Decision:
        """Return what becomes of a delivery after a failure that is not stored yet."""
        crashes = 0
        if result.outcome == Outcome.CRASH:
            crashes = self._crashes(job)
        return decide(result, crashes, self._conf)

    def _crashes(self, job: Job) -> int:
        """Return how many attempts have killed their worker, this one included."""
        cached = bool(routing.is_cached(job.task, self._conf))
        while True:
            try:
                found = self._services.make_store(cached).crashes([job.task.id])
                return found.get(job.task.id, 0) + 1
            except Exception as error:  # noqa: BLE001 - stores are plugins
                if self._writer.is_refusal(error, [cached]):
                    logger.warning(
                        "crashes of %s are not known: %s", job.task.id, error
                    )
                    return job.attempt
                self._outage.wait_out(error)

    # -- the broker ------------------------------------------------------------------------
    def _acknowledge(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._broker.acknowledge_many([job.receipt for job in jobs])

    def _confirm(self, jobs: Sequence[Job], undone: Sequence[Job]) -> None:
        """Tell the store whose deliveries are gone."""
        if undone:
            left = set(undone)
            jobs = [job for job in jobs if job not in left]
        try:
            self._services.make_store(False).acknowledged([job.task.id for job in jobs])
        except Exception as error:  # noqa: BLE001 - they are stored, and that counts
            logger.warning("the store cannot note acknowledged tasks: %s", error)

    def _return(self, jobs: Sequence[Job]) -> None:
        """Give deliveries back; where the broker cannot, their lease does it."""
        left = set(jobs)
        if jobs and self._broker.supports_release:
            if self._shared.stopping.is_set():
                # else it could claim them once more, and each claim counts as an attempt
                self._shared.claims_ended.wait(_CLAIM)
            for job in jobs:
                # our own pusher may be the next who claims it, before it is settled
                job.lost = True
            left = set(self._insist(self._release, jobs))
        for job in jobs:
            exit = JobState.LEFT if job in left else JobState.RELEASED
            self._shared.settle(job, exit)

    def _release(self, jobs: Sequence[Job]) -> None:
        self._broker.release([job.receipt for job in jobs])

    def _insist(
        self, call: Callable[[Sequence[T]], None], items: Sequence[T]
    ) -> list[T]:
        """Call until the broker answers; at a stop, only until it refuses once more.

        What it refuses together it is asked for one by one: a single bad receipt is no
        reason to leave all others, which would come back together and be left again.
        What stays undone is safe: the lease ends, the package is delivered again, and a
        stored success is recognised.

        Returns:
            What it has not done.
        """
        while items:
            try:
                call(items)
            except BrokerUnavailable as error:
                self._outage.wait_out(error)
                if self._shared.stopping.is_set():
                    return list(items)
            except Exception as error:
                foreseen = isinstance(error, QcoreError)
                kind = "" if foreseen else f"{type(error).__name__}: "
                trace = None if foreseen else error
                logger.error("the broker refused: %s%s", kind, error, exc_info=trace)
                return self._each(call, items) if len(items) > 1 else list(items)
            else:
                self._outage.over()
                break
        return []

    def _each(self, call: Callable[[Sequence[T]], None], items: Sequence[T]) -> list[T]:
        """Ask for each by itself; return those that the broker refuses."""
        undone: list[T] = []
        for place, item in enumerate(items):
            undone += self._insist(call, [item])
            if len(undone) == place + 1 == _FEW:  # it is not one of them, then
                return list(items)
        return undone


def _log(result: Result) -> None:
    """Write a line for a finished task: outcome, run time, time in the queue.

    Below it, the traceback of a failure.
    """
    task = result.task
    took = result.stopped - result.started
    waited = result.started - task.created
    if result.success:
        logger.info("done %s %.3fs wait=%.3fs id=%s", task.func, took, waited, task.id)
        return
    text = result.value.decode(errors="replace")
    _, _, trace = text.partition("\n\n")
    record = logger.makeRecord(
        logger.name, logging.WARNING, __file__, 0, "%s %s %.3fs attempt=%d id=%s: %s",
        (result.outcome, task.func, took, result.attempt, task.id, first_line(text)),
        None,
    )  # fmt: skip
    # where formatters look for the traceback of this process's own exceptions
    record.exc_text = printable_lines(shorten(trace.rstrip(), _LONGEST_TRACE)) or None
    logger.handle(record)
