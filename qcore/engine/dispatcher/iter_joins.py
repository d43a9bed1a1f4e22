"""Runs in: the recorder. Joins the results of an ``async_iter`` once all are there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from ...envelope import Task
from ...errors import (
    LedgerError,
    QcoreError,
    StoreBusy,
    StoreError,
    StoreUnavailable,
)
from ...results.base import ResultStore
from ..services import Services
from .batches import Work
from .fallback import failure_of, reason
from .job import Job
from .ledger_handle import LedgerHandle
from .lifecycle import JobState
from .postponed import Postponed
from .refusals import Refusals
from .result_writer import DOUBTS
from .retries import Decision
from .state import SharedState

logger = logging.getLogger("qcore.recorder")


class _Doubt(msgspec.Struct):
    """What the store has answered about one list so far."""

    count: int = 0  # how often, one after the other, that it may be the list
    passes: bool = False  # whether it said so of itself: "away"


class IterJoins:
    """Joins each iter by itself: an iter that cannot be stored stops no other.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        postponed: keeps jobs whose iters cannot be joined now.
        refusals: judges what a store raises.
        handle: for the ledger, which keeps the task that follows an iter.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        postponed: Postponed,
        refusals: Refusals,
        handle: LedgerHandle,
    ) -> None:
        self._services = services
        self._shared = shared
        self._postponed = postponed
        self._refusals = refusals
        self._handle = handle
        self._doubts: dict[str, _Doubt] = {}
        # joined in another database than the ledger's, which does not answer
        self._joined: set[str] = set()

    def join(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Join the iters of which these jobs may have been the last calls.

        Returns:
            The jobs that may be settled now. The others wait until their store is back. At
            a stop, or if their result was stored earlier, they are left to their leases:
            the task is delivered again and recognised, and its iter is joined then.
        """
        if all(job.task.iter_count is None for job in jobs):
            return jobs  # nearly always
        calls: dict[str, list[Job]] = {}
        ready = []
        for job in jobs:
            if job.task.group is not None and _ends_a_call(job):
                calls.setdefault(job.task.group, []).append(job)
            else:
                ready.append(job)
        for group, ended in calls.items():
            try:
                is_done = self._join(group, ended)
            except LedgerError as error:
                self._wait(group, ended, error, None)
                continue
            if is_done:
                self._doubts.pop(group, None)
                self._joined.discard(group)
                self._postponed.forget([group])
                ready += ended
        return ready

    def _join(self, group: str, jobs: Sequence[Job]) -> bool:
        """Join an iter as far as all its calls have ended; return whether it was possible.

        Raises:
            LedgerError: the task that follows cannot be sent now.
        """
        store, task = self._services.make_store(), jobs[0].task
        route = store.route(task)
        if self._postponed.is_away(route):
            self._postponed.add(route, Work.FINISH, self._worth_a_wait(jobs))
            return False
        doubt = self._doubts.setdefault(group, _Doubt())
        while True:
            try:
                self._collate(store.part(route), group, jobs)
            except LedgerError:
                raise
            except Exception as error:  # noqa: BLE001 - stores are plugins
                suspected = self._suspect(doubt, error, route)
                if doubt.count > (DOUBTS if doubt.passes else 1):
                    if self._give_up(task, group, route, error):
                        self._complete(group, jobs)
                        return True
                    doubt.count = 0
                if suspected and not doubt.passes:
                    continue
                self._wait(group, jobs, error, None if suspected else route)
                return False
            else:
                self._postponed.works(route)
                return True

    def _collate(self, store: ResultStore, group: str, jobs: Sequence[Job]) -> None:
        """Join an iter if all its calls have ended, and have the task sent that follows it.

        Both are one transaction where the results are in the ledger's database. Elsewhere
        the task is sent afterwards. If this process is killed between the two, the last
        call is delivered and run again, and finds the list, which stores keep for a lease.

        Raises:
            LedgerError: the task is not sent.
            Exception: what the store raises; nothing is joined.
        """
        count = jobs[0].task.iter_count or 0
        if not _are_awaited(jobs):
            store.collate(group, count)
            return
        ledger = self._handle.require()
        if store.database != ledger.database:
            if group in self._joined or store.collate(group, count):
                self._joined.add(group)
                ledger.complete(group)
            return
        with ledger.transaction():
            try:
                is_joined = store.collate(group, count)
            except QcoreError:
                raise
            except Exception as error:  # a plugin's; the ledger would call it its own
                raise StoreError(f"cannot join results: {reason(error)}") from error
            if is_joined:
                ledger.complete(group)

    def _complete(self, group: str, jobs: Sequence[Job]) -> None:
        """Have the task sent that follows an iter, if there is one; raises LedgerError."""
        if _are_awaited(jobs):
            self._handle.require().complete(group)

    def _wait(
        self, group: str, jobs: Sequence[Job], error: Exception, route: str | None
    ) -> None:
        """Let the jobs of an iter wait, alone or until the store of a route is back."""
        waiting = self._worth_a_wait(jobs)
        if not waiting:
            logger.warning("the iter %s cannot be joined now: %s", group, error)
        elif route is None:
            self._postponed.add_alone(group, Work.FINISH, waiting, error)
        else:
            self._postponed.failed(route, error)
            self._postponed.add(route, Work.FINISH, waiting)

    def _worth_a_wait(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that wait for their store; leave the others to their leases."""
        if self._shared.stopping.is_set():
            waiting = []
        else:
            waiting = [job for job in jobs if job.result is not None]
        for job in jobs:
            if job not in waiting:
                self._shared.settle(job, JobState.LEFT)
        return waiting

    def _suspect(self, doubt: _Doubt, error: Exception, route: str) -> bool:
        """Whether the store may refuse just this list; count how often it has failed."""
        if self._shared.steps.was_cut("recorder"):
            error = StoreBusy(str(error))  # it says nothing of the list
        passes = isinstance(error, StoreUnavailable)
        suspected = self._refusals.may_be_refusal(error, route)
        if not suspected or passes is not doubt.passes:
            doubt.count = 0  # the store may be coming back
        if suspected and not isinstance(error, StoreBusy):
            doubt.count += 1
        doubt.passes = passes
        return suspected

    def _give_up(self, task: Task, group: str, route: str, error: Exception) -> bool:
        """Store a failure in the place of a refused list; keep the single results.

        Returns:
            False if the store does not take the failure either: it may be away.
        """
        logger.error("the results of iter %s cannot be joined: %s", group, error)
        text = (
            f"StoreError: {task.iter_count:,} results cannot be stored as one list:"
            f" {reason(error)}\n\nEach result is stored on its own in the group {group}."
        )
        try:
            store = self._services.make_store().part(route)
            store.save([failure_of(task, group, text)])
            store.separate(group)
        except StoreUnavailable:
            return False
        except Exception:  # the calls are stored, and nobody is held up by their list
            logger.exception("the failure of iter %s cannot be stored", group)
        return True


def _are_awaited(jobs: Sequence[Job]) -> bool:
    """Whether a task follows the iter of these jobs."""
    return any(job.task.is_awaited for job in jobs)


def _ends_a_call(job: Job) -> bool:
    """Whether a job was a call of an iter that will not be run again."""
    return job.task.iter_count is not None and job.decision in (None, Decision.DONE)
