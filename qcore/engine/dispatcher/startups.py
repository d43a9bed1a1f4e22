"""Runs in: the dispatcher's loop. Whether workers come up, for the status."""

from __future__ import annotations

import os

from ..system.process import how_it_died
from .state import SharedState

_WHO = "workers"


class WorkerStarts:
    """Knows which workers have come up, and reports a problem when none does.

    Args:
        shared: where the problem is shown while it lasts.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._there: set[int] = set()  # pids

    def came_up(self, pid: int) -> None:
        """Note that a worker has come up."""
        self._there.add(pid)
        self._shared.clear_problem(_WHO)

    def died(self, pid: int, status: int) -> None:
        """Note that a worker has been reaped; ``status`` is what waitpid gave."""
        came_up = pid in self._there
        self._there.discard(pid)
        if came_up or self._there or os.waitstatus_to_exitcode(status) == 0:
            return
        how = how_it_died(status)
        self._shared.report_problem(
            _WHO, f"workers die in their start: {how}; see the log"
        )
