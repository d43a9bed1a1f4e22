"""Runs in: the dispatcher's threads. Knows which of them have not come back for long.

A database, a broker or a plugin may hang: it neither answers nor fails. Then its thread
raises no error that a guard could show. So each thread notes when it begins what may wait,
and the status tells of the threads that are still there.

The threads on the way of every task must not wait for ever: the connections of one that
does not come back are cut. What it does then fails, as while the database is away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("qcore.status")

#: Seconds of one step after which the status tells of it. Databases and brokers that are
#: away fail sooner, with their own limits.
LONG = 60.0
#: Looks that must find a thread in the same step before its connections are cut. Looks
#: count, and not seconds: a machine that stands still looks at nothing.
LOOKS = 3
#: Seconds between two looks at least, and at most: three of them are half a lease of one
#: minute, as long as a host of the database may be silent.
_SHORTEST, _LONGEST = 1.0, 10.0


class Steps:
    """The steps that threads are in, by their names; for all threads."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}  # monotonic
        self._told: set[str] = set()
        self._cutters: dict[str, Callable[[], int]] = {}
        # the step in which a look found a thread, and how many looks have found it
        self._found: dict[str, tuple[float, int]] = {}
        self._cut: set[str] = set()

    @contextmanager
    def of(self, who: str) -> Iterator[None]:
        """Return a context for one step of a thread.

        Args:
            who: the name of the thread.
        """
        self._begun[who] = time.monotonic()
        try:
            yield
        finally:
            self._begun.pop(who, None)
            if self._cut:  # seldom
                self._cut.discard(who)

    def may_be_cut(self, who: str, cut: Callable[[], int]) -> None:
        """Have the connections of a thread cut when it does not come back.

        Args:
            who: the name of the thread.
            cut: cuts its connections, from another thread; returns how many.
        """
        self._cutters[who] = cut

    def was_cut(self, who: str) -> bool:
        """Whether the connections of a thread were cut in its present step; once."""
        if who not in self._cut:
            return False
        self._cut.discard(who)
        return True

    def watch(self, ended: threading.Event, lease: float) -> None:
        """Look again and again until an event is set; the work of a thread.

        Args:
            ended: the event.
            lease: seconds; connections are cut after about half of them.
        """
        pause = min(max(lease / 2 / LOOKS, _SHORTEST), _LONGEST)
        while not ended.wait(pause):
            self.look()

    def look(self) -> None:
        """Cut the connections of threads that several looks have found in one step."""
        for who, cut in self._cutters.copy().items():
            begun = self._begun.get(who)
            if begun is None:
                self._found.pop(who, None)
                continue
            step, looks = self._found.get(who, (begun, 0))
            looks = looks + 1 if step == begun else 1
            if looks >= LOOKS:
                looks = 0
                self._end(who, cut, begun)
            self._found[who] = (begun, looks)

    def _end(self, who: str, cut: Callable[[], int], begun: float) -> None:
        self._cut.add(who)  # first: the thread may be back before the call is
        try:
            count = cut()
        except Exception:  # a driver may raise anything
            logger.exception("connections of the %s cannot be cut", who)
            count = 0
        if not count:
            self._cut.discard(who)
            return
        logger.warning(
            "%s: no answer of the database for %.0f s; its connection is cut, and what it"
            " waited for is tried again",
            who, time.monotonic() - begun,
        )  # fmt: skip

    def hanging(self) -> list[str]:
        """Return a line for each thread that has been in one step for long; log it once."""
        now = time.monotonic()
        lines = []
        for who, begun in sorted(self._begun.copy().items()):
            if now - begun < LONG:
                self._told.discard(who)
                continue
            lines.append(
                f"{who}: no answer for {_rounded(now - begun)} s. Does the database,"
                " broker or plugin that it waits for hang?"
            )
            if who not in self._told:
                self._told.add(who)
                logger.warning("%s", lines[-1])
        self._told.intersection_update(self._begun.copy())
        return lines


def _rounded(seconds: float) -> int:
    """Return whole minutes in seconds, so that the line does not change all the time."""
    return int(seconds // LONG * LONG)
