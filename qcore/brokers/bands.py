"""The five bands that the priorities of a queue fall into, and the queues of the bands."""

from __future__ import annotations

from bisect import bisect_right

#: From the most urgent one. The usual band, which has priority 0, is the queue itself: so
#: nothing has to move where bands are switched on or off.
NAMES = ("highest", "high", "usual", "low", "lowest")
#: The place of the usual one.
USUAL = 2

#: The least priority of each band but the lowest one, from below.
_LEAST = (-60, -20, 21, 61)


def band_of(priority: int) -> int:
    """Return the place in ``NAMES`` of the band of a priority."""
    return len(NAMES) - 1 - bisect_right(_LEAST, priority)


def queue_of(queue: str, band: int) -> str:
    """Return the broker's name of a band of a queue: ``"mail--high"``."""
    return queue if band == USUAL else f"{queue}--{NAMES[band]}"
