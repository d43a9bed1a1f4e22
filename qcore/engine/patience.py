"""Runs in: the dispatcher's threads. Trying again, with one line in the log per try."""

from __future__ import annotations

import logging
import threading

from .tally import Tally


class Patience:
    """Waits ever longer between tries, and says why, for one thread.

    Args:
        who: the thread's name, for the log and the status.
        tally: where the problem is shown while it lasts.
        first, longest: seconds before the second try, and at most.
    """

    def __init__(
        self, who: str, tally: Tally, *, first: float = 0.2, longest: float = 5.0
    ) -> None:
        self._who = who
        self._logger = logging.getLogger(f"qcore.{who}")
        self._tally = tally
        self._first, self._longest = first, longest
        self._pause = first
        self._stopping: threading.Event = tally.stopping

    def bear(self, error: BaseException) -> None:
        """Log a failed try and wait before the next one; returns at once at a stop."""
        self._tally.problems[self._who] = str(error)
        reason = str(error).rstrip(".")  # for the sentence goes on
        self._logger.warning("%s; trying again in %.1f s", reason, self._pause)
        if not self._stopping.is_set():
            self._stopping.wait(self._pause)
        self._pause = min(self._pause * 2, self._longest)

    def succeed(self) -> None:
        """Note that a try has worked."""
        if self._tally.problems.pop(self._who, None) is not None:
            self._logger.info("working again")
            self._pause = self._first
