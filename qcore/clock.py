"""The clock of qcore: the time of this machine and an offset, with which tests pass days.

The ledger reads the clock of its database, and adds the same offset; see ``ledger.clock``.
"""

from __future__ import annotations

import time


class Clock:
    """How far the clock of a test is ahead, in this process."""

    offset: float = 0.0  # seconds


def elapsed() -> float:
    """Return the monotonic clock of this machine in seconds, with the offset."""
    return time.monotonic() + Clock.offset


def wall() -> float:
    """Return the time of this machine in seconds since the epoch, with the offset."""
    return time.time() + Clock.offset
