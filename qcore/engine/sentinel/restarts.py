"""Runs in: the sentinel. How soon a process is replaced."""

from __future__ import annotations

#: A process that dies within this many seconds of its birth is replaced ever later.
_TOO_SOON = 2.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0


class RestartDelay:
    """How long to wait before a process in one place is replaced.

    A process that ends in order, or that dies after it has come up, is replaced at once:
    a task may have killed its worker, and the other tasks must not wait for that.
    """

    def __init__(self) -> None:
        self._failures = 0

    def after(self, lifetime: float, *, well: bool) -> float:
        """Return the seconds to wait, growing while processes die in their start.

        Args:
            lifetime: seconds from fork to death.
            well: it has come up, or ended in order.
        """
        if well or lifetime >= _TOO_SOON:
            self._failures = 0
            return 0.0
        self._failures += 1
        if self._failures == 1:
            return 0.0  # one early death is an accident
        delay: float = _FIRST_DELAY * 2 ** (self._failures - 2)
        return min(_LONGEST_DELAY, delay)
