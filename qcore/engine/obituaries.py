"""Runs in: the dispatcher's loop. How workers died, matched to what they were doing.

A death is heard of twice: the worker's link closes, and the sentinel says what waitpid
gave it. Where the link is closed first, its job waits here for that word.
"""

from __future__ import annotations

import time

from .crew import Hand
from .job import Job
from .limits import how_it_died

#: Seconds to wait for the sentinel's word after a link has closed.
_LONGEST = 2.0


class Obituaries:
    """Deaths of which it is not known yet how they came."""

    def __init__(self) -> None:
        self._lost: dict[int, tuple[float, Hand, Job]] = {}

    def __len__(self) -> int:
        """Return how many jobs wait to learn how their worker died."""
        return len(self._lost)

    def lost(self, hand: Hand) -> None:
        """Note that the link of a worker with a job has closed."""
        assert hand.job is not None
        self._lost[hand.pid] = (time.monotonic() + _LONGEST, hand, hand.job)

    def died(self, pid: int, status: int) -> tuple[Hand, Job, str] | None:
        """Return the worker and its job that waited for this, and how it died."""
        if pid not in self._lost:
            return None
        _, hand, job = self._lost.pop(pid)
        ours = job.killed is not None
        return hand, job, how_it_died(status, ours=ours, rss=hand.rss)

    def next(self) -> float | None:
        """Return when waiting for the next one ends, on the monotonic clock."""
        return min((entry[0] for entry in self._lost.values()), default=None)

    def overdue(self, now: float) -> list[tuple[Hand, Job]]:
        """Return, once, the workers and jobs for which no word came in time."""
        late = [pid for pid, entry in self._lost.items() if entry[0] <= now]
        return [self._lost.pop(pid)[1:] for pid in late]
