"""Runs in: the recorder. Joins the results of an ``async_iter`` once all are there."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ...envelope import Task
from ...errors import StoreUnavailable
from ...results import routing
from ..services import Services
from .fallback import failure_of, reason
from .outages import Outage
from .result_writer import DOUBTS, ResultWriter
from .state import SharedState

logger = logging.getLogger("qcore.recorder")


class IterJoins:
    """Joins iters, each by itself: one that cannot be stored as a whole stops no other.

    Args:
        parts: what the cluster is made of.
        tally: what the threads share.
        patience: waits while the store is away.
        storing: knows whether an error passes.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        outage: Outage,
        writer: ResultWriter,
    ) -> None:
        self._services = services
        self._shared = shared
        self._outage = outage
        self._writer = writer

    def join(self, tasks: Iterable[Task], *, wait: bool) -> set[str]:
        """Join the iters that these calls belong to, as far as all their calls have ended.

        Args:
            tasks: calls of iters.
            wait: for a store that is away; a stop ends that.

        Returns:
            The groups of those that could not be joined now.
        """
        calls = {task.group: task for task in tasks if task.group is not None}
        return {
            group for group, task in calls.items() if not self._join(task, group, wait)
        }

    def _join(self, task: Task, group: str, wait: bool) -> bool:
        cached = bool(routing.is_cached(task, self._services.conf))
        doubts, last = 0, False
        while True:
            try:
                self._services.make_store(cached).collate(group, task.iter_count or 0)
            except Exception as error:  # noqa: BLE001 - stores are plugins
                passes = isinstance(error, StoreUnavailable)
                suspected = self._writer.may_be_refusal(error, [cached])
                if not suspected or passes is not last:
                    doubts = 0  # the store may be coming back
                doubts, last = doubts + suspected, passes
                if doubts > (DOUBTS if passes else 1):
                    if self._give_up(task, group, cached, error):
                        return True
                    doubts = 0
                if passes or not suspected:
                    if not wait or self._shared.stopping.is_set():
                        logger.warning(
                            "results of async_iter cannot be joined now: %s", error
                        )
                        return False
                    self._outage.wait_out(error)
            else:
                self._outage.over()
                return True

    def _give_up(self, task: Task, group: str, cached: bool, error: Exception) -> bool:
        """Store a failure in the place of a list that no store takes; keep its parts.

        Returns:
            False where the store takes not even that, and may be away.
        """
        logger.error("the results of iter %s cannot be joined: %s", group, error)
        text = (
            f"StoreError: {task.iter_count:,} results cannot be stored as one list:"
            f" {reason(error)}\n\nEach result is stored on its own in the group {group}."
        )
        store = self._services.make_store(cached)
        try:
            store.save([failure_of(task, group, text)])
            store.separate(group)
        except StoreUnavailable:
            return False
        except Exception:  # the calls are stored, and nobody is held up by their list
            logger.exception("the failure of iter %s cannot be stored", group)
        return True
