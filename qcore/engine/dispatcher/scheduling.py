"""Runs in: scheduler, a thread of the dispatcher. Lets the scheduler fire schedules."""

from __future__ import annotations

import logging
import random

from ...schedules.base import Scheduler
from ..services import Services
from .guard import Guard, close, pause
from .state import SharedState

#: Seconds between two ticks at most: a schedule that was just made fires by then.
_LONGEST = 2.0
#: ... and at least.
_SHORTEST = 0.02

logger = logging.getLogger("qcore.scheduler")


class Scheduling:
    """Calls ``tick`` whenever the scheduler said that something is due."""

    def __init__(self, services: Services, shared: SharedState) -> None:
        self._services = services
        self._shared = shared
        self._guard = Guard("scheduler", shared)

    def run(self) -> None:
        """Tick until the cluster stops."""
        scheduler: Scheduler | None = None
        # clusters that start together must not ask together for ever
        rest = random.uniform(0, _LONGEST / 4)  # noqa: S311 - no secret
        while not pause(self._shared.stopping, rest):
            try:
                if scheduler is None:
                    scheduler = self._services.make_scheduler()
                with self._shared.steps.of("scheduler"):
                    rest = min(_LONGEST, max(_SHORTEST, scheduler.tick()))
            except BaseException as error:  # noqa: BLE001 - it is a stranger's code
                self._guard.wait_out(error)
            else:
                self._guard.over()
        close(scheduler, "scheduler")
