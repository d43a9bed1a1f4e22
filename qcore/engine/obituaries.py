"""Runs in: the dispatcher's loop. How workers died, matched to what they were doing.

A death is heard of twice, in either order: the worker's link closes, and the sentinel
says what waitpid gave it.
"""

from __future__ import annotations

import time

from .crew import Hand
from .job import Job
from .limits import how_it_died

#: Seconds to wait for the sentinel's word after a link has closed.
_LONGEST = 2.0
#: Deaths that are remembered in case their link is still open.
_MEMORY = 64


class Obituaries:
    """Deaths of which only one half is known yet."""

    def __init__(self) -> None:
        self._lost: dict[int, tuple[float, Hand, Job]] = {}
        self._statuses: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many jobs wait to learn how their worker died."""
        return len(self._lost)

    def lost(self, hand: Hand) -> str | None:
        """Note that a worker's link has closed; return how it died if that is known."""
        assert hand.job is not None
        status = self._statuses.pop(hand.pid, None)
        if status is not None:
            return how_it_died(status)
        self._lost[hand.pid] = (time.monotonic() + _LONGEST, hand, hand.job)
        return None

    def died(self, pid: int, status: int) -> tuple[Job, Hand, str] | None:
        """Note what the sentinel says; return the job that waited to hear it."""
        if pid in self._lost:
            _, hand, job = self._lost.pop(pid)
            return job, hand, how_it_died(status)
        self._statuses[pid] = status
        while len(self._statuses) > _MEMORY:
            del self._statuses[next(iter(self._statuses))]
        return None

    def next(self) -> float | None:
        """Return when waiting for the next one ends, on the monotonic clock."""
        return min((entry[0] for entry in self._lost.values()), default=None)

    def overdue(self, now: float) -> list[tuple[Job, Hand]]:
        """Return, once, the jobs for which no word came in time."""
        late = [pid for pid, entry in self._lost.items() if entry[0] <= now]
        return [(job, hand) for pid in late for _, hand, job in [self._lost.pop(pid)]]
