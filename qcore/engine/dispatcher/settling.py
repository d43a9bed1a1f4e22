"""Runs in: the recorder. Settles the jobs that use the ledger, together with their results.

Results, tickets and the packages that follow are committed in one transaction where the
results are in the ledger's database. Elsewhere the result is stored first, then the ledger
is written. The delivery is acknowledged after that, or in the same transaction where the
broker is that database, too. So a kill at any moment leaves the delivery unacknowledged, or
leaves nothing undone.

Plain jobs never come here: a ledger that is away stops only the jobs that need it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ...envelope import Outcome, Result, new_id
from ...errors import LedgerBusy, LedgerError, StoreBusy
from ...results.base import ResultStore
from ...settled import Follower, Settled, Settlement
from ...tasks.calls import follow_on_id
from ...tasks.outgoing import BEGIN_WITHIN
from ..services import LedgerLike, Services
from .deliveries import Deliveries
from .job import Job, LedgerPart
from .ledger_handle import LedgerHandle
from .retries import Decision
from .tracking import Tracking

logger = logging.getLogger("qcore.recorder")

#: Read once, for every task comes by: Python 3.11 takes 0.2 µs for a member of an enumeration.
_SUCCESS = Outcome.SUCCESS
#: Times that a batch is tried while the database lets other transactions go first.
_TRIES = 4


class Settling:
    """The ledger's part in the way from ended jobs to acknowledged deliveries.

    Args:
        services: what the cluster is made of.
        deliveries: acknowledges, and sends what follows.
    """

    def __init__(self, services: Services, deliveries: Deliveries) -> None:
        self._conf = services.conf
        self._deliveries = deliveries
        self.handle = LedgerHandle(services)
        self._tracking = Tracking(services)

    def parted(self, jobs: Sequence[Job]) -> tuple[Sequence[Job], Sequence[Job]]:
        """Return the plain jobs, and those that are settled in the ledger."""
        own = [job for job in jobs if job.next_package is not None or job.has_ticket]
        if not own:
            return jobs, ()  # nearly always
        if self.handle.ledger() is None:
            # one that is to be sent again waits: nothing else keeps its new package
            own = [job for job in own if job.decision is Decision.MOVE]
        elif not self._sends_links:
            own = [job for job in own if job.has_ticket]
        others = set(own)
        return [job for job in jobs if job not in others], own

    @property
    def _sends_links(self) -> bool:
        """Whether next links of chains are rows of the outbox."""
        return self._conf.outbox is not False and self._deliveries.broker.blocks

    # -- the transaction -------------------------------------------------------------
    def commit(
        self,
        store: ResultStore,
        jobs: Sequence[Job],
        is_kept: Callable[[Result], bool],
        *,
        acknowledge: bool = True,
    ) -> list[Job]:
        """Store results and settle their jobs.

        A job whose settlement is void is marked as superseded, and its result is not
        stored.

        Args:
            store: of the results.
            jobs: in their order.
            is_kept: whether a result is to be stored.
            acknowledge: whether deliveries may be acknowledged in the same transaction.

        Returns:
            The jobs whose deliveries are acknowledged.

        Raises:
            StoreError, LedgerError, BrokerError: nothing is settled; results may be stored.
        """
        tries = _TRIES
        while True:
            try:
                return self._commit(store, jobs, is_kept, acknowledge=acknowledge)
            except (LedgerBusy, StoreBusy):
                tries -= 1
                if not tries:
                    raise
                # whoever won is done soon; two losers must not meet again
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - no secret

    def _commit(
        self,
        store: ResultStore,
        jobs: Sequence[Job],
        is_kept: Callable[[Result], bool],
        *,
        acknowledge: bool,
    ) -> list[Job]:
        ledger = self.handle.require()
        broker, token = self._deliveries.broker, new_id()
        joins_broker = broker.database == ledger.database
        joins_store = store.database == ledger.database
        settlements = [self._settlement(job, joins_broker=joins_broker) for job in jobs]
        if not joins_store:
            _save(store, self._holding_now(ledger, jobs, settlements), is_kept)
        done: list[Job] = []
        with ledger.transaction():
            holds = ledger.settle(settlements, token)
            holding = [job for job, held in zip(jobs, holds, strict=True) if held]
            if joins_store:
                _save(store, holding, is_kept)
            self._tracking.end(holding)
            if joins_broker:
                self._send_now(holding)
                if acknowledge:
                    done = [
                        job
                        for job, held in zip(jobs, holds, strict=True)
                        if not held or not needs_more(job)
                    ]
                    self._deliveries.acknowledge_now(done)
        self._note(jobs, holds, settlements, token)
        if joins_broker:
            _note_sent(holding)
        acknowledged = set(done)
        for job in jobs:
            job.is_open = job not in acknowledged
        return done

    def _holding_now(
        self,
        ledger: LedgerLike,
        jobs: Sequence[Job],
        settlements: Sequence[Settlement],
    ) -> list[Job]:
        """Return the jobs whose settlements are not void by what their tickets say now."""
        ids = {one.settled.task.id for one in settlements if one.has_ticket}
        found = ledger.look_up(ids) if ids else {}
        return [
            job
            for job, one in zip(jobs, settlements, strict=True)
            if one.settled.task.id not in found
            or found[one.settled.task.id].after(one) is not None
        ]

    def _note(
        self,
        jobs: Sequence[Job],
        holds: Sequence[bool],
        settlements: Sequence[Settlement],
        token: str,
    ) -> None:
        now = time.monotonic()
        for job, held, one in zip(jobs, holds, settlements, strict=True):
            if not held:
                job.decision, job.next_package = Decision.SUPERSEDED, None
            elif job.next_package is not None and one.followers:
                job.ledger = job.ledger or LedgerPart()
                job.ledger.token, job.ledger.written_at = token, now

    def _settlement(self, job: Job, *, joins_broker: bool) -> Settlement:
        assert job.result is not None
        result, task = job.result, job.task
        ledger = job.ledger
        followers = []
        if (
            job.next_package is not None
            and result.outcome == Outcome.SUCCESS
            and self._sends_links
            and not joins_broker
        ):
            followers = [
                Follower(
                    task.queue, follow_on_id(task.id), job.next_package, 0, 0.0, True
                )
            ]
        move = ledger.move if ledger is not None else None
        if move is not None:
            followers = [
                Follower(
                    task.queue,
                    task.id,
                    move.package,
                    task.gen + 1,
                    move.delay,
                    held_by=move.held_by,
                )
            ]
        return Settlement(
            settled=Settled(
                task=task,
                outcome=result.outcome,
                final=result.final,
                again=self._again(job),
                start=job.start,
                result=result,
            ),
            has_ticket=job.has_ticket,
            found=ledger is not None and ledger.ticket is not None,
            runs=job.attempt if move is None else move.runs,
            moves=move is not None,
            followers=tuple(followers),
        )

    def _again(self, job: Job) -> float | None:
        """Return the seconds until a task comes again; None: it does not."""
        if job.decision is Decision.AT_ONCE:
            return 0.0
        if job.decision in (Decision.AFTER, Decision.MOVE):
            return job.again
        return float(self._conf.retry) if job.decision is Decision.LATER else None

    def _send_now(self, jobs: Sequence[Job]) -> None:
        """Send next links in the transaction; raises BrokerError."""
        links = [job for job in jobs if job.next_package is not None]
        if links:
            self._deliveries.send_now(links)

    # -- afterwards --------------------------------------------------------------------
    def is_left_to_relay(self, job: Job) -> bool:
        """Whether the relay sends the next link of a job, because its row is too old."""
        ledger = job.ledger
        return (
            ledger is not None
            and ledger.token is not None
            and time.monotonic() - ledger.written_at > BEGIN_WITHIN
        )

    def followed(self, sent: Sequence[Job], unsent: Sequence[Job]) -> None:
        """Delete the rows of next links that were sent, and leave the others to the relay."""
        ledger = self.handle.ledger()
        if ledger is None:
            return
        for end, jobs in ((ledger.sent, sent), (ledger.leave, unsent)):
            tokens: dict[str, list[str]] = {}
            for job in jobs:
                if job.ledger is not None and job.ledger.token is not None:
                    ids = tokens.setdefault(job.ledger.token, [])
                    ids.append(follow_on_id(job.task.id))
            for token, ids in tokens.items():
                try:
                    end(token, ids)
                except LedgerError as error:
                    # the claim ends by itself, and what is sent twice has the same id
                    logger.warning("a next link may be sent twice: %s", error)

    def gave_back(self, jobs: Sequence[Job]) -> None:
        """Tell plugins of jobs that need them and are given back; take back their starts.

        A plugin that fails keeps no job here: the task comes again, and the plugin is asked
        again then.
        """
        settled = [
            Settled(
                task=job.task,
                outcome=Outcome.STOPPED,
                final=False,
                again=0.0,
                unstarted=job.unstarted,
                start=job.start,
            )
            for job in jobs
            if job.task.needs
        ]
        if not settled or (ledger := self.handle.ledger()) is None:
            return
        for part in (settled, *([one] for one in settled)):
            try:
                ledger.give_back(part)
            except Exception as error:  # noqa: BLE001 - it must not end the recorder
                logger.warning("plugins were not told of tasks given back: %s", error)
            else:
                if part is settled:
                    return

    def told_again(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Tell plugins of ends that an earlier delivery has stored; return what goes on.

        Where results are not in the ledger's database, that delivery may have been lost
        between the two. A job whose plugin fails is left to its lease, and told of again.
        """
        owed = [
            job
            for job in jobs
            if job.task.needs and job.result is None and job.ended is not None
        ]
        if not owed or (ledger := self.handle.ledger()) is None:
            return jobs  # nearly always
        left: set[Job] = set()
        for part in (owed, *([job] for job in owed)):
            try:
                with ledger.transaction():
                    ledger.settle([_recognised(job) for job in part], new_id())
            except Exception as error:  # noqa: BLE001 - as above
                left.update(part)
                logger.warning(
                    "an end that was stored before is not settled: %s", error
                )
                if part is owed and not self.handle.answers():
                    break
            else:
                left.difference_update(part)
                if part is owed:
                    break
        return [job for job in jobs if job not in left]

    def acknowledged(self, jobs: Sequence[Job]) -> None:
        """Forget tickets of tasks that have ended, and of which no package is left.

        A task that was sent again, or came through the outbox, may have another package.
        """
        ids = [
            job.task.id
            for job in jobs
            if job.has_ticket and not job.task.relayed and not job.task.gen
        ]
        if not ids or (ledger := self.handle.ledger()) is None:
            return
        with suppress(LedgerError):  # they go when they are old
            ledger.forget(ids)


def _recognised(job: Job) -> Settlement:
    """Return the settlement of a job whose end was stored by an earlier delivery."""
    assert job.ended is not None
    return Settlement(
        settled=Settled(task=job.task, outcome=job.ended.outcome, final=True),
        has_ticket=True,
        found=job.ledger is not None and job.ledger.ticket is not None,
        runs=job.attempt,
    )


def needs_more(job: Job) -> bool:
    """Whether acknowledging is not the only thing left to do for a job that is stored.

    A call of an ``async_iter`` may be the last call. Then the joined result must be stored
    before the delivery is acknowledged, because nothing else would store it.
    """
    assert job.result is not None
    if job.result.outcome != _SUCCESS:
        return True
    task = job.task
    return task.hook is not None or task.links > 0 or task.iter_count is not None


def _note_sent(jobs: Sequence[Job]) -> None:
    """Note that the next links of jobs were sent in the transaction.

    A job whose hook is still to be called must not make its next link once more.
    """
    for job in jobs:
        if job.next_package is not None:
            job.next_package = None
            job.ledger = job.ledger or LedgerPart()
            job.ledger.link_sent = True


def _save(
    store: ResultStore, jobs: Sequence[Job], is_kept: Callable[[Result], bool]
) -> None:
    results = [job.result for job in jobs if job.result is not None]
    if kept := [result for result in results if is_kept(result)]:
        store.save(kept)
