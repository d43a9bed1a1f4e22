"""Runs in: the dispatcher's loop. The moments of a stop."""

from __future__ import annotations

#: Seconds between the soft stop of a task and SIGKILL.
AFTER_SOFT = 2.0


class Shutdown:
    """When a stop interrupts tasks, kills their workers, and waits no longer.

    Times are on the monotonic clock; all of them are None before a stop has begun.
    """

    def __init__(self) -> None:
        self._soft_at: float | None = None
        self._kill_at: float | None = None
        self._give_up_at: float | None = None
        #: nothing may begin any more, not even a follow-up
        self.killing = False

    def begin(self, now: float, grace: float) -> None:
        """Begin to stop, or hasten a stop: running tasks have ``grace`` seconds."""
        self._give_up_at = now + grace + AFTER_SOFT
        if grace > 0:
            self._soft_at = now + grace
        else:
            self._soft_at, self._kill_at = None, now

    def next(self) -> list[float]:
        """Return the moments of the stop that are still to come."""
        return [at for at in (self._soft_at, self._kill_at) if at is not None]

    def is_soft_due(self, now: float) -> bool:
        """Whether running tasks are to be interrupted now; True once."""
        if self._soft_at is None or now < self._soft_at:
            return False
        self._soft_at = None
        self._kill_at = now + AFTER_SOFT
        return True

    def is_kill_due(self, now: float) -> bool:
        """Whether the workers that still run tasks are to be killed now; True once."""
        if self._kill_at is None or now < self._kill_at:
            return False
        self._kill_at = None
        self.killing = True
        return True

    def is_late(self, now: float) -> bool:
        """Whether the stop waits no longer, not even for the recorder."""
        return self._give_up_at is not None and now >= self._give_up_at
