"""Runs in: the dispatcher's threads. Trying again, with one line in the log per try.

The pause is a part of the time that the trouble has lasted. So work goes on soon after a
short outage, and the log of a long one stays short.
"""

from __future__ import annotations

import logging
import threading
import time

from .tally import Tally

#: The pause before the next try, as a part of the time since the first one failed: a
#: service that was away for two seconds is used again at most half a second later.
_SHARE = 0.25


class Patience:
    """Waits ever longer between tries, and says why, for one thread.

    Args:
        who: the thread's name, for the log and the status.
        tally: where the problem is shown while it lasts.
        first, longest: seconds that a pause has at least, and at most.
    """

    def __init__(
        self, who: str, tally: Tally, *, first: float = 0.2, longest: float = 5.0
    ) -> None:
        self._who = who
        self._logger = logging.getLogger(f"qcore.{who}")
        self._tally = tally
        self._first, self._longest = first, longest
        self._since: float | None = None  # monotonic, of the first failed try
        self._stopping: threading.Event = tally.stopping

    def bear(self, error: BaseException) -> None:
        """Log a failed try and wait before the next one; returns at once at a stop."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        pause = min(max(self._first, (now - self._since) * _SHARE), self._longest)
        self._tally.trouble(self._who, str(error))
        reason = str(error).rstrip(".")  # for the sentence goes on
        self._logger.warning("%s; trying again in %.1f s", reason, pause)
        if not self._stopping.is_set():
            self._stopping.wait(pause)

    def succeed(self) -> None:
        """Note that a try has worked."""
        if self._tally.recover(self._who):
            self._logger.info("working again")
            self._since = None
