"""Runs in: the dispatcher's threads. Knows which of them have not come back for long.

A database, a broker or a plugin may hang: it neither answers nor fails. Then its thread
raises no error that a guard could show. So each thread notes when it begins what may wait,
and the status tells of the threads that are still there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("qcore.status")

#: Seconds of one step after which the status tells of it. Databases and brokers that are
#: away fail sooner, with their own limits.
LONG = 60.0


class Steps:
    """The steps that threads are in, by their names; for all threads."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}  # monotonic
        self._told: set[str] = set()

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
