"""How slow this machine is now, so that a test need not guess.

A test that gives something up after a fixed time fails where the machine has other work
to do. ``Patience`` is a timeout that a busy machine stretches; ``stretched`` is for a
bound that a test compares with. Neither costs anything while the machine is in time.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

P = ParamSpec("P")

#: Turns of an empty loop that take about 20 ms of one free processor: longer than a
#: process may run while others wait for its processor.
_TURNS = 1_000_000
_CALM = 0.020
#: A machine that is slower than this is not waited for.
MOST = 20.0
#: From this slowness on, a service may be silent for longer than a caller waits.
_BUSY = 2.0
#: Seconds between two looks of somebody who waits; more is time in which nobody looked.
_LOOK = 1.0
#: How often something is tried that the machine may have been too slow for.
TRIES = 6


def slowness() -> float:
    """Return how many times longer than on a calm machine work takes here, from 1 on.

    It is the larger of two measures: of a fixed piece of work, done now, and of the
    processes that have waited for each processor in the last minute. It takes 20 ms,
    and on a slow machine as many times longer.
    """
    begun = time.monotonic()
    for _ in range(_TURNS):
        pass
    measured = (time.monotonic() - begun) / _CALM
    waiting = os.getloadavg()[0] / _processors()
    return min(max(1.0, measured, waiting), MOST)


def stretched(seconds: float) -> float:
    """Return the seconds that this machine may need now for ``seconds`` on a calm machine."""
    return seconds * slowness()


def in_time(spent: float, bound: float) -> bool:
    """Whether something took less than ``bound`` seconds, of a calm machine."""
    return spent < bound or spent < stretched(bound)


class Patience:
    """A timeout in seconds of a calm machine.

    The machine is measured when the time is over, and not before: what comes in time
    costs no measurement. Where the whole machine stands still between two looks, as a
    virtual one does now and then, that time does not count: nobody could do anything.

    Args:
        seconds: on a calm machine.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = time.monotonic()
        self._looked: float | None = None  # monotonic: the last question
        self._still = 0.0  # seconds in which nobody looked
        self._slowness = 1.0

    @property
    def spent(self) -> float:
        """Seconds since it began, by the clock."""
        return time.monotonic() - self._begun

    def is_over(self) -> bool:
        """Whether there was time enough, as slow as the machine is."""
        if self._looked is not None:
            self._still += max(0.0, time.monotonic() - self._looked - _LOOK)
        is_over = self._is_over()
        self._looked = time.monotonic()
        return is_over

    def _is_over(self) -> bool:
        spent = self.spent - self._still
        if spent <= self._seconds * self._slowness:
            return False
        self._slowness = max(self._slowness, slowness())
        return spent > self._seconds * self._slowness


class TooLate(Exception):
    """The machine was too slow for the assumptions of a test: the test has proved nothing."""


def begun_again_when_late(
    test: Callable[Concatenate[Any, P], None],
) -> Callable[..., None]:
    """Begin a test again, with times twice as long, each time that it was `TooLate`.

    The test multiplies its times by the attribute ``stretch`` of its class. What the test
    asserts is never tried again: a failure is a failure. A service that does not answer in
    time counts as late where the machine is busy.
    """
    from ..errors import BrokerUnavailable  # servers of tests load this file alone

    @functools.wraps(test)
    def patiently(self: Any, *args: P.args, **kwargs: P.kwargs) -> None:
        for number in range(TRIES):
            self.stretch = 2.0**number
            try:
                return test(self, *args, **kwargs)
            except TooLate as fact:
                last: Exception = fact
            except BrokerUnavailable as error:
                if slowness() < _BUSY:
                    raise
                last = error
        raise AssertionError(
            f"{last}, {TRIES} times, with times of up to {self.stretch:g} times the usual"
            " ones. Give the machine less to do, or the class a longer `lease`."
        )

    return patiently


def must_precede(moment: float, what: str = "its lease") -> None:
    """Raise `TooLate` after a moment of the monotonic clock.

    For a test that does something before ``moment``, has done it, and is about to
    assert what follows from that.
    """
    late = time.monotonic() - moment
    if late > 0:
        raise TooLate(f"the test was {late:.3g} s later than {what}")


def quickest(call: Callable[[], object], bound: float) -> float:
    """Return the seconds of the quickest of some calls.

    It is called again while it takes longer than ``bound``, up to six times: whoever
    waits on purpose does so each time, and a machine is busy now and then.
    """
    best = float("inf")
    for _ in range(TRIES):
        begun = time.monotonic()
        call()
        best = min(best, time.monotonic() - begun)
        if best < bound:
            break
    return best


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
