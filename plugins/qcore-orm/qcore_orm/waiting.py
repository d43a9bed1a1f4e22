"""How an idle consumer passes the time until something may have come.

A *look* asks when a package will be visible. It takes no lock and costs a fraction of a
claim, so that an idle cluster looks and only claims what is there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from qcore.brokers.pauses import Pauses

#: Seconds until a package is visible: zero or less where one is, or where only a claim
#: can tell what is wrong; infinite where there is none.
Look = Callable[[], float]

#: Seconds of the first pause; an enqueue that follows at once is found this soon.
FIRST_PAUSE = 0.001
#: Each pause is this much longer than the one before.
GROWTH = 1.5
#: Seconds between two looks, at least, of one to whom changes are announced: a net for
#: an announcement that was lost.
NET = 2.0


class Waiter(Protocol):
    """What ``OrmBroker.dequeue`` waits with.

    The order is ``mark``, claim, ``pause``: whatever is announced after ``mark`` ends
    the pause, so nothing that comes in between is missed.
    """

    def mark(self) -> None:
        """Forget what has been announced so far."""

    def pause(self, seconds: float) -> bool:
        """Return after ``seconds``, or sooner when something may have come.

        Returns:
            Whether something may have come. If not, the next pause may follow at once,
            without a claim.
        """

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
        self._pauses = Pauses(FIRST_PAUSE, GROWTH, longest)

    def mark(self) -> None:
        """Nothing is announced to those who poll."""

    def pause(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._pauses.next()))
            if self._look() <= 0:
                return True
        return False

    def found(self) -> None:
        self._pauses.reset()

    def close(self) -> None:
        """Nothing is held."""


class Rest:
    """When the next look is due, for one to whom changes are announced.

    It is when the first package becomes visible, for what changes that is announced; and
    after some time all the same.

    Args:
        look: asks the database.
        poll: seconds between two looks of one who polls.
    """

    def __init__(self, look: Look, poll: float) -> None:
        self._look = look
        self._poll = poll
        self._at = -math.inf  # monotonic
        #: whether announcements are known to arrive; until then they are not relied on
        self.is_trusted = False

    def look(self) -> bool:
        """Look now, and return whether a package may be visible."""
        seconds = self._look()
        longest = max(self._poll, NET) if self.is_trusted else self._poll
        self._at = time.monotonic() + min(seconds, longest)
        return seconds <= 0

    def look_if_due(self) -> bool:
        """Look if it is time to; return whether a package may be visible."""
        return self.left() <= 0 and self.look()

    def left(self) -> float:
        """Return the seconds until the next look is due."""
        return max(0.0, self._at - time.monotonic())

    def announced(self) -> None:
        """Note an announcement: what was seen before says nothing any more."""
        self.is_trusted = True
        self._at = min(self._at, time.monotonic() + self._poll)
