"""How an idle consumer passes the time until something may have come.

A *look* asks whether a package is visible. It takes no lock and costs a fraction
of a claim, so that an idle cluster looks and only claims what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

#: Whether a package is visible; True as well where only a claim can tell what is wrong.
Look = Callable[[], bool]

#: Seconds of the first pause; an enqueue that follows at once is found this soon.
FIRST_PAUSE = 0.001
#: Each pause is this much longer than the one before.
GROWTH = 1.5


class Waiter(Protocol):
    """What ``OrmBroker.dequeue`` waits with.

    The order is ``mark``, claim, ``pause``: whatever is announced after ``mark`` ends
    the pause, so nothing that comes in between is missed.
    """

    def mark(self) -> None:
        """Forget what has been announced so far."""

    def pause(self, seconds: float) -> None:
        """Return after ``seconds``, or sooner when something may have come."""

    def found(self) -> None:
        """Note that the queue was not empty: more is likely to follow."""

    def close(self) -> None:
        """Let connections and files go; safe to call twice."""


class Polling:
    """Looks after sleeps that grow while nothing comes.

    Args:
        look: asks the database.
        longest: seconds that a sleep may reach.
    """

    def __init__(self, look: Look, longest: float) -> None:
        self._look = look
        self._longest = longest
        self._next = min(longest, FIRST_PAUSE)

    def mark(self) -> None:
        """Nothing is announced to those who poll."""

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._next))
            self._next = min(self._longest, self._next * GROWTH)
            if self._look():
                return

    def found(self) -> None:
        self._next = min(self._longest, FIRST_PAUSE)

    def close(self) -> None:
        """Nothing is held."""
