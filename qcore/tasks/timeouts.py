"""Timeouts: an exception in the code that runs for longer than it may.

Limits nest: a task may run another one in itself, or a hook. Each keeps its own
deadline, and the end of the inner one is not the end of the outer.
"""

from __future__ import annotations

import math
from threading import get_ident
from threading import main_thread as _main_thread
from time import monotonic
from types import FrameType

from ..errors import TaskTimeout
from .timer import TimerOfProcess

#: Seconds between the cancelling of a coroutine and the alarm that interrupts one
#: which keeps the event loop to itself. Less than any sensible ``grace``.
SECOND_BELL = 0.2

#: Seconds by which a timer may be early, in the eyes of another clock.
_EARLY = 0.001


def out_of_time(seconds: float | None) -> TaskTimeout:
    """Return the exception that ends a block when its time is up."""
    return TaskTimeout(f"the task was stopped after its timeout of {seconds} s")


class soft_timeout:  # noqa: N801 - used like the functions of contextlib
    """Raise ``TaskTimeout`` in the block after ``seconds``; None means never.

    It needs the main thread and a POSIX system; elsewhere it does nothing. Code that
    holds the interpreter is beyond it: there the sentinel's SIGKILL ends the worker.
    (A class, for a generator would cost each task two µs more.)
    """

    __slots__ = ("deadline", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.deadline = math.inf  # monotonic

    def __enter__(self) -> None:
        seconds = self.seconds
        if seconds is None or get_ident() != _main_thread().ident:
            return
        self.deadline = monotonic() + seconds
        _limits.append(self)
        if len(_limits) == 1:
            _timer.set(seconds)
        else:
            _arm()

    def __exit__(self, *_: object) -> None:
        if self.deadline == math.inf:
            return
        if self in _limits:
            _limits.remove(self)
        _arm()


#: Those that the main thread is in, outermost first; one that has rung is taken out.
_limits: list[soft_timeout] = []


def postpone() -> tuple[float, float | None] | None:
    """Put the alarm off, so that asyncio's own clock comes first.

    Returns:
        The seconds that are left, and of how many; None where no alarm is set.
    """
    if not _limits or get_ident() != _main_thread().ident:
        return None
    limit = min(_limits, key=lambda one: one.deadline)
    left = limit.deadline - monotonic()
    limit.deadline += SECOND_BELL
    _arm()
    return max(0.0, left), limit.seconds


def forget_limits() -> None:
    """Drop every limit of the main thread, with the alarm.

    A signal that ends a task may come while its limit is entered or left. Then the limit
    stays, and would end whatever runs when its time is up. So a worker calls this between
    two tasks.
    """
    if _limits:
        _limits.clear()
        _arm()


def _ring(_signum: int, _frame: FrameType | None) -> None:
    now = monotonic() + _EARLY
    for limit in _limits:
        if limit.deadline <= now:
            _limits.remove(limit)
            _arm()
            raise out_of_time(limit.seconds)
    _arm()


def _arm() -> None:
    if not _limits:
        _timer.set(0)
        return
    left = min(limit.deadline for limit in _limits) - monotonic()
    _timer.set(max(left, 0.000_001))


_timer = TimerOfProcess(_ring)
