"""What the workers of the demo run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ..errors import Discard
from ..tasks import current_task, progress
from .settings import FOLDER

#: A file that the urgent task makes, and one that the demo makes when it has seen progress.
URGENT, SEEN = FOLDER / "urgent", FOLDER / "seen"
#: Seconds that a task waits for such a file before it fails.
PATIENCE = 20.0


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


def unsteady(good: int) -> int:
    """Fail before the given attempt; return the number of the attempt."""
    task = current_task()
    assert task is not None, "it runs in a worker"
    if task.attempt < good:
        raise ConnectionError(f"no answer to attempt {task.attempt}")
    return task.attempt


def pointless() -> None:
    """Find that there is nothing to do, however often it is tried."""
    raise Discard("the order was deleted")


def patient() -> None:
    """Run until it is cancelled."""
    endless()


def urgent() -> str:
    """Be sent last and run first."""
    URGENT.touch()
    return "urgent"


def overtaken() -> str:
    """Be sent first; end when the urgent task has run."""
    _wait_for(URGENT, "the urgent task has not overtaken")
    return "overtaken"


def long() -> str:
    """Tell how far it is, and end when somebody has seen it."""
    for step in range(1, 9):
        time.sleep(0.2)
        progress(step, 8, f"step {step} of 8")
    _wait_for(SEEN, "nobody has seen the progress")
    return "seen"


def _wait_for(file: Path, complaint: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() >= deadline:
            raise TimeoutError(complaint)
        time.sleep(0.02)
