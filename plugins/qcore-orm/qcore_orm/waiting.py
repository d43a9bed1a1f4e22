"""How an idle consumer passes the time until something may have come."""

from __future__ import annotations

import time
from typing import Protocol

#: Seconds of the first pause; an enqueue that follows at once is found this soon.
FIRST_PAUSE = 0.001
#: Each pause is this much longer than the one before.
GROWTH = 1.5


class Waiter(Protocol):
    """What ``OrmBroker.dequeue`` waits with.

    The order is ``mark``, look at the queue, ``pause``: whatever is announced after
    ``mark`` ends the pause, so nothing that comes in between is missed.
    """

    def mark(self) -> None:
        """Forget what has been announced so far."""

    def pause(self, seconds: float) -> None:
        """Return after ``seconds``, or sooner when something may have come."""

    def found(self) -> None:
        """Note that the queue was not empty: more is likely to follow."""

    def close(self) -> None:
        """Let connections go; safe to call twice."""


class Polling:
    """Short sleeps that grow up to ``poll`` seconds while nothing comes."""

    def __init__(self, poll: float) -> None:
        self._poll = poll
        self._next = FIRST_PAUSE

    def mark(self) -> None:
        """Nothing is announced to those who poll."""

    def pause(self, seconds: float) -> None:
        time.sleep(min(seconds, self._next))
        self._next = min(self._poll, self._next * GROWTH)

    def found(self) -> None:
        self._next = min(self._poll, FIRST_PAUSE)

    def close(self) -> None:
        """Nothing is held."""
