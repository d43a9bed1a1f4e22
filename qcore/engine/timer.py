"""Runs in: the timer, a thread of the dispatcher. Lets the scheduler tick."""

from __future__ import annotations

import logging
import random

from ..schedules.base import Scheduler
from .guard import Guard, close, pause
from .parts import Parts
from .tally import Tally

#: Seconds between two ticks at most: a schedule that was just made fires by then.
_LONGEST = 2.0
#: ... and at least.
_SHORTEST = 0.02

logger = logging.getLogger("qcore.timer")


class Timer:
    """Calls ``tick`` whenever the scheduler said that something is due."""

    def __init__(self, parts: Parts, tally: Tally) -> None:
        self._parts = parts
        self._tally = tally
        self._guard = Guard("timer", tally)

    def run(self) -> None:
        """Tick until the cluster stops."""
        scheduler: Scheduler | None = None
        # clusters that start together must not ask together for ever
        rest = random.uniform(0, _LONGEST / 4)  # noqa: S311 - no secret
        while not pause(self._tally.stopping, rest):
            try:
                if scheduler is None:
                    scheduler = self._parts.make_scheduler()
                rest = min(_LONGEST, max(_SHORTEST, scheduler.tick()))
            except BaseException as error:  # noqa: BLE001 - it is a stranger's code
                self._guard.bear(error)
            else:
                self._guard.succeed()
        close(scheduler, "timer")
