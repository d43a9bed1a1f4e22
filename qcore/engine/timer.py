"""Runs in: the timer, a thread of the dispatcher. Lets the scheduler tick."""

from __future__ import annotations

import logging
import random

from ..errors import QcoreError
from .parts import Parts
from .patience import Patience
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
        self._patience = Patience("timer", tally)

    def run(self) -> None:
        """Tick until the cluster stops."""
        scheduler = self._parts.make_scheduler()
        # clusters that start together must not ask together for ever
        pause = random.uniform(0, _LONGEST / 4)  # noqa: S311 - no secret
        while not self._tally.stopping.wait(pause):
            try:
                pause = min(_LONGEST, max(_SHORTEST, scheduler.tick()))
            except QcoreError as error:
                self._patience.bear(error)
            else:
                self._patience.succeed()
        scheduler.close()
