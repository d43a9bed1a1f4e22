"""Runs in: the dispatcher's loop. What lies before busy workers, and when it is taken back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from .crew import Crew, Hand
from .job import Job

#: Seconds until a tray is looked at again on which something was missing. Its worker has
#: begun that and will say so, or is about to give it back: it is seldom looked at twice.
_AGAIN = 0.05


def _begun(_hand: Hand, _job: Job) -> None:
    """Tell nobody that a worker has begun a job."""


class Trays:
    """The trays of all workers.

    Args:
        crew: the workers.
        ready: the jobs that wait; what is taken back comes before all of them.
    """

    def __init__(self, crew: Crew, ready: deque[Job]) -> None:
        self._crew = crew
        self._ready = ready
        self._begin: Callable[[Hand, Job], None] = _begun
        self._laden: set[Hand] = set()  # something lies there, or may
        self._long = 0.0  # seconds after which what lies behind a task is taken back

    def tell(self, begin: Callable[[Hand, Job], None]) -> None:
        """Say who is to be told of a job that a worker has begun, as it turns out."""
        self._begin = begin

    def __len__(self) -> int:
        """Return how many jobs lie on a tray."""
        return sum(len(hand.laid) for hand in list(self._laden))

    def fewest(self) -> int:
        """Return how many jobs lie on the tray that has the fewest."""
        if len(self._laden) < len(self._crew):
            return 0
        return min((len(hand.laid) for hand in list(self._laden)), default=0)

    def open(self, depth: int) -> list[Hand]:
        """Return the busy workers on whose tray fewer than ``depth`` jobs lie."""
        return [
            hand
            for hand in self._crew.busy()
            if hand.tray and not hand.ending and len(hand.laid) < depth
        ]

    def lay(self, hand: Hand, job: Job, order: bytes) -> bool:
        """Lay a job on the tray of a busy worker; return whether there was place."""
        if hand.tray is None or not hand.tray.lay(order):
            return False
        hand.laid.append(job)
        self._laden.add(hand)
        return True

    def next(self) -> list[float]:
        """Return when what lies behind a task is to be taken back, monotonic."""
        return [
            self._due(hand, hand.job) for hand in self._laden if hand.job is not None
        ]

    def _due(self, hand: Hand, job: Job) -> float:
        """Return when what lies behind a job is taken back; anew, where some was missing."""
        return max(job.dealt + self._long, hand.asked and hand.asked + _AGAIN)

    def keep(self, now: float, long: float) -> None:
        """Take back what lies behind a long task, or while somebody has nothing to do.

        Args:
            now: monotonic.
            long: seconds after which a task counts as long.
        """
        self._long = long
        starved = bool(self._crew.idle) and not self._ready
        for hand in list(self._laden):
            is_long = hand.job is not None and self._due(hand, hand.job) <= now
            if is_long or (starved and hand.laid):
                self.recall(hand)
            elif not hand.laid and not hand.unsure:
                self._laden.discard(hand)

    def recall(self, hand: Hand) -> None:
        """Take back what a worker has not begun.

        Where the job that it was thought to do is among that, the worker is idle.
        """
        if hand not in self._laden or hand.tray is None:
            return
        numbers = hand.tray.take_back()
        back = [job for job in hand.laid if job.number in numbers]
        # the others the worker has begun, and perhaps ended: it will say so
        hand.laid = deque(job for job in hand.laid if job.number not in numbers)
        self._ready.extendleft(reversed(back))
        if hand.unsure and hand.job is not None and hand.job.number in numbers:
            self._ready.appendleft(hand.job)
            if following := self._crew.free(hand):
                self._begin(hand, following)
        hand.unsure = False
        hand.asked = time.monotonic() if hand.laid else 0.0
        if not hand.laid:
            self._laden.discard(hand)

    def leave(self, hand: Hand) -> None:
        """Forget the tray of a worker that has gone, once what lay there is taken back."""
        self.recall(hand)
        self._laden.discard(hand)

    def recall_all(self) -> None:
        """Take back what nobody has begun."""
        for hand in list(self._laden):
            self.recall(hand)
