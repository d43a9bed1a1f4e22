"""Runs in: the dispatcher's loop. Whether workers come up, for the status."""

from __future__ import annotations

import os

from .limits import how_it_died
from .tally import Tally

_WHO = "workers"


class Arrivals:
    """Knows which workers have come up, and tells when none does.

    Args:
        tally: where the problem is shown while it lasts.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._there: set[int] = set()  # pids

    def came(self, pid: int) -> None:
        """Note that a worker has come up."""
        self._there.add(pid)
        self._tally.recover(_WHO)

    def died(self, pid: int, status: int) -> None:
        """Note that a worker has been reaped; ``status`` is what waitpid gave."""
        came_up = pid in self._there
        self._there.discard(pid)
        if came_up or self._there or os.waitstatus_to_exitcode(status) == 0:
            return
        how = how_it_died(status)
        self._tally.trouble(_WHO, f"workers die in their start: {how}; see the log")
