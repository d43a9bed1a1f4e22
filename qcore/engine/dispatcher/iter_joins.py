"""Runs in: the recorder. Joins the results of an ``async_iter`` once all are there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from ...envelope import Task
from ...errors import LedgerError, StoreBusy, StoreUnavailable
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
            if self._join(group, ended):
                self._doubts.pop(group, None)
                self._postponed.forget([group])
                ready += ended
        return ready

    def _join(self, group: str, jobs: Sequence[Job]) -> bool:
        """Join an iter as far as all its calls have ended; return whether it was possible."""
        store, task = self._services.make_store(), jobs[0].task
        route = store.route(task)
        if self._postponed.is_away(route):
            self._postponed.add(route, Work.FINISH, self._worth_a_wait(jobs))
            return False
        doubt = self._doubts.setdefault(group, _Doubt())
        while True:
            try:
                is_joined = store.part(route).collate(group, task.iter_count or 0)
            except Exception as error:  # noqa: BLE001 - stores are plugins
                suspected = self._suspect(doubt, error, route)
                if doubt.count > (DOUBTS if doubt.passes else 1):
                    if self._give_up(task, group, route, error):
                        return self._complete(group, jobs)
                    doubt.count = 0
                if suspected and not doubt.passes:
                    continue
                waiting = self._worth_a_wait(jobs)
                if not waiting:
                    logger.warning("an async_iter cannot be joined now: %s", error)
                elif suspected:
                    self._postponed.add_alone(group, Work.FINISH, waiting, error)
                else:
                    self._postponed.failed(route, error)
                    self._postponed.add(route, Work.FINISH, waiting)
                return False
            else:
                self._postponed.works(route)
                return self._complete(group, jobs) if is_joined else True

    def _complete(self, group: str, jobs: Sequence[Job]) -> bool:
        """Have the task sent that follows an iter, if there is one; return whether it is.

        If not, the jobs are left to their leases: they are recognised then, and the iter
        is found to be joined.
        """
        if not any(job.task.is_awaited for job in jobs):
            return True  # nearly always
        ledger = self._handle.ledger()
        try:
            if ledger is None:
                raise LedgerError("the ledger has no tables: run migrate")
            ledger.complete(group)
        except LedgerError as error:
            logger.warning("what follows the iter %s is not sent now: %s", group, error)
            for job in jobs:
                self._shared.settle(job, JobState.LEFT)
            return False
        return True

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


def _ends_a_call(job: Job) -> bool:
    """Whether a job was a call of an iter that will not be run again."""
    return job.task.iter_count is not None and job.decision in (None, Decision.DONE)
