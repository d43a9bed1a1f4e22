"""What the workers of the demo run."""

from __future__ import annotations

import os
import signal
import time


def fast(number: int) -> int:
    """Return the square of a number."""
    return number * number


def slow(seconds: float) -> float:
    """Sleep."""
    time.sleep(seconds)
    return seconds


def failing(total: int, guests: int) -> float:
    """Divide a bill among guests who may not have come."""
    return total / guests


def endless() -> None:
    """Run until somebody ends it."""
    while True:
        time.sleep(0.1)


def deadly() -> None:
    """Kill the worker, as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def step(number: int) -> int:
    """Be one link of a chain."""
    return number


def member(number: int) -> int:
    """Be one of a group."""
    return number


def scheduled() -> str:
    """Be run by the clock."""
    return "on time"
