"""Timers: they send this thread a signal when a time is up.

``signal.alarm`` and ``signal.setitimer`` share the one timer of a process, so a library
that uses it takes it away from whoever has set it. Linux has timers that belong to
their maker, each with a signal of its own; elsewhere it is the shared one, put back when
we are done with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], None]

# time.h, signal.h and siginfo.h of Linux
_CLOCK_MONOTONIC, _SIGEV_THREAD_ID = 1, 4
#: How many signals below the last one ours is: the first are taken by libraries, the
#: very last by nobody in particular.
_BELOW_LAST = 3


class _Event(ctypes.Structure):
    """``struct sigevent``: 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("number", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("padding", ctypes.c_char * 44),
    )


class _Span(ctypes.Structure):
    """``struct itimerspec``: an interval, and the first time."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


_NEVER = ctypes.byref(_Span())


class OwnTimer:
    """A timer of the calling thread's own (Linux).

    Args:
        handler: called in the main thread when the time is up.

    Raises:
        OSError: the system has no such timer, or has none left.
    """

    def __init__(self, handler: Handler) -> None:
        self._number = signal.SIGRTMAX - _BELOW_LAST
        self._handler = handler
        library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(library, "timer_create"):  # glibc before 2.34
            library = ctypes.CDLL("librt.so.1", use_errno=True)
        self._id = ctypes.c_void_p()
        event = _Event(
            number=self._number,
            notify=_SIGEV_THREAD_ID,
            thread=threading.get_native_id(),
        )
        signal.signal(self._number, handler)
        if library.timer_create(
            _CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._id)
        ):
            raise OSError(ctypes.get_errno(), "timer_create")
        self._span = _Span()
        self._there = ctypes.byref(self._span)
        self._settime: Any = library.timer_settime

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, and not as was said before; 0: not at all."""
        if not seconds:
            self._settime(self._id, 0, _NEVER, None)
            return
        if signal.getsignal(self._number) is not self._handler:
            signal.signal(self._number, self._handler)  # somebody has put another there
        span = self._span
        span.s = whole = int(seconds)
        span.ns = int((seconds - whole) * 1_000_000_000)
        self._settime(self._id, 0, self._there, None)


class SharedTimer:
    """The one timer of a process; an earlier alarm goes on after ours."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._before: Any = None
        self._left = 0.0
        self._is_set = False

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, and not as was said before; 0: not at all."""
        if seconds:
            before = signal.signal(signal.SIGALRM, self._handler)
            left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
            if not self._is_set:
                self._is_set, self._before, self._left = True, before, left
        elif self._is_set:
            self._is_set = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            if self._left:
                signal.setitimer(signal.ITIMER_REAL, self._left)


def make_timer(handler: Handler) -> OwnTimer | SharedTimer:
    """Return a timer for the calling thread, which must be the main one."""
    if sys.platform == "linux":
        try:
            return OwnTimer(handler)
        except OSError:  # a sandbox without it, or too many signals pending
            return SharedTimer(handler)
    return SharedTimer(handler)


#: Seconds of the longest alarm, 31 years: a setting may be larger than the system takes.
_LONGEST = 1e9


class TimerOfProcess:
    """A timer that is made where it is first used: none outlives a fork."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._timer: OwnTimer | SharedTimer | None = None
        self._pid = 0

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, and not as was said before; 0: not at all."""
        if self._timer is None or self._pid != os.getpid():
            self._timer, self._pid = make_timer(self._handler), os.getpid()
        # who asked for more is asked again then: see _ring in timeouts.py
        self._timer.set(min(seconds, _LONGEST))
