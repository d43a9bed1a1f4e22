"""Runs in: the dispatcher's threads. Waits between tries while a service is away.

Each failed try is one line in the log. The pause grows with the time that the outage has
lasted. So work goes on soon after a short outage, and the log of a long outage is short.
"""

from __future__ import annotations

import logging
import threading
import time

from ...masking import mask_url
from .state import SharedState

#: Seconds between two tries at most while the cluster stops. What waits to be stored is
#: tried until the stop gives up; without any pause that was 4,000 tries a second.
_HURRIED = 0.2

#: The pause before the next try, as a part of the time since the first one failed: a
#: service that was away for two seconds is used again at most half a second later.
_SHARE = 0.25
#: Seconds from which a failed call is slow, and the longest rest after it.
_SLOW, _LONGEST_REST = 1.0, 60.0


class Outage:
    """Waits longer and longer between the tries of one thread, and says why.

    Args:
        who: the thread's name, for the log and the status.
        shared: where the problem is shown while it lasts.
        what: is away, where the thread works with several services.
        first, longest: seconds that a pause has at least, and at most.
    """

    def __init__(
        self,
        who: str,
        shared: SharedState,
        *,
        what: str = "",
        first: float = 0.2,
        longest: float = 5.0,
    ) -> None:
        self._problem = f"{who} {what}" if what else who
        self._logger = logging.getLogger(f"qcore.{who}")
        self._shared = shared
        self._first, self._longest = first, longest
        self._since: float | None = None  # monotonic, of the first failed try
        self._stopping: threading.Event = shared.stopping

    def wait_out(self, error: BaseException) -> None:
        """Log a failed try and wait before the next one.

        A stop ends the pause that is under way and shortens those that follow. It never
        skips them all: tries without a pause use up a processor and fill the log.
        """
        is_stopping = self._stopping.is_set()
        pause = self.failed(error)
        if is_stopping:
            time.sleep(pause)
        else:
            self._stopping.wait(pause)

    def failed(self, error: BaseException) -> float:
        """Log a failed try; return the seconds until the next one."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        is_stopping = self._stopping.is_set()
        longest = min(self._longest, _HURRIED) if is_stopping else self._longest
        pause = min(max(self._first, (now - self._since) * _SHARE), longest)
        reason = mask_url(str(error))  # drivers like to say the whole URL
        self._shared.report_problem(self._problem, reason)
        reason = reason.rstrip(".")  # for the sentence goes on
        self._logger.warning("%s; trying again in %.1f s", reason, pause)
        return pause

    def over(self) -> None:
        """Note that a try has worked."""
        if self._shared.clear_problem(self._problem):
            self._logger.info("working again")
            self._since = None


class Rest:
    """Spares the callers of a service that fails slowly.

    A database that hangs fails after many seconds, again and again. It is not asked for as
    long as its last failure took: half of the time of its caller is left to others.
    """

    def __init__(self) -> None:
        self._until = 0.0  # monotonic

    def is_on(self) -> bool:
        """Whether the service is not to be asked now."""
        return self._until > 0 and time.monotonic() < self._until

    def failed(self, began: float) -> None:
        """Note that a call has failed.

        Args:
            began: when it was made, on the monotonic clock.
        """
        now = time.monotonic()
        if now - began >= _SLOW:
            self._until = now + min(now - began, _LONGEST_REST)
