"""Runs in: control, a thread of the dispatcher. Pauses the cluster, cancels tasks."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from ...status import Pause
from ..services import Services, Watching
from .capacity import Capacity
from .guard import Guard, close
from .job import LedgerPart
from .state import SharedState

logger = logging.getLogger("qcore.control")

#: Seconds between two looks at most. Its own share of that is left to chance in each
#: pause, so that twenty clusters do not ask together.
_LOOK, _SHARE = 1.0, 0.25
#: Seconds after its start for which a cluster claims nothing while it does not know yet
#: whether its queue is paused.
_FIRST = 5.0


class Controlling:
    """Looks for pauses and cancelled tasks, and lets the other threads act on them.

    It has a thread of its own, for what people ask must not wait: the relay may wait for
    a broker, and the recorder for a store.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        capacity: lets the pusher claim, or not.
        wake: the loop, which gives back what has not begun.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        capacity: Capacity,
        wake: Callable[[], None],
    ) -> None:
        self._services = services
        self._shared = shared
        self._capacity = capacity
        self._wake = wake
        self._guard = Guard("control", shared)
        self._known = False  # whether the queue is paused
        capacity.pause(_FIRST)

    def run(self) -> None:
        """Look until the cluster stops; end at once where nobody can ask anything."""
        watch: Watching | None = None
        while not self._shared.stopping.is_set():
            try:
                if watch is None:
                    watch = self._services.make_watch()
                    if watch is None:
                        self.apply(None)
                        return
                with self._shared.steps.of("control"):
                    self.heed(watch)
                rest = _LOOK * (1 - random.uniform(0, _SHARE))  # noqa: S311 - no secret
                watch.wait(self._shared.stopping, rest)
            except BaseException as error:  # noqa: BLE001 - a driver may raise anything
                if not self._known:
                    # a database that is away must not keep plain tasks waiting
                    self.apply(None)
                self._guard.wait_out(error)
            else:
                self._guard.over()
        close(watch, "control")

    def heed(self, watch: Watching) -> None:
        """Look once, and let the cluster do what was asked.

        Raises:
            StoreError: the ledger cannot be reached.
        """
        pause, has_marks = watch.look()
        # First: a cluster that may claim from now on, because it has just started or its
        # queue was resumed, must look up what it claims.
        self._shared.has_marks = has_marks
        self.apply(pause)
        self.cancel(watch, has_marks=has_marks)

    def apply(self, pause: Pause | None) -> None:
        """Pause the cluster, or let it claim again."""
        if self._known and pause == self._shared.pause:
            return
        if pause is not None:
            self._shared.pause = pause  # first: what is claimed from now on goes back
            self._capacity.pause()
            logger.warning(
                "the queue %r is paused%s: tasks that run go on, and none begins until"
                " it is resumed",
                pause.queue, _words(pause),
            )  # fmt: skip
        else:
            if self._shared.pause is not None:
                logger.warning("the queue %r is resumed", self._shared.pause.queue)
            self._shared.pause = None
            self._capacity.resume()
        self._known = True
        self._wake()
        self._shared.changed()

    def cancel(self, watch: Watching, *, has_marks: bool) -> None:
        """Have the loop end what the cluster holds of the tasks that are cancelled."""
        if not has_marks:
            return
        held = {
            job.task.id: job for job in list(self._shared.held) if not job.cancelled
        }
        found = watch.cancelled(held.keys()) if held else {}
        for id, ticket in found.items():
            job = held[id]
            job.ledger = job.ledger or LedgerPart(ticket)
            self._shared.cancelling.append(job)
        if found:
            self._wake()


def _words(pause: Pause) -> str:
    by = f" by {pause.by}" if pause.by else ""
    return f"{by} ({pause.reason})" if pause.reason else by
