"""Tasks that behave."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from .ledger import note


def add(left: float, right: float = 0) -> float:
    return left + right


def echo(value: Any) -> Any:
    return value


def fail(text: str = "as it was told") -> None:
    raise ValueError(text)


def record(key: str, value: Any = None) -> Any:
    """Note that it ran."""
    note(key, "ran")
    return value


def nap(key: str, seconds: float) -> str:
    """Sleep, with an entry before and after."""
    note(key, "began")
    time.sleep(seconds)
    note(key, "ended")
    return key


def fail_first(key: str, path: str) -> str:
    """Fail unless a file is there, and leave it there."""
    note(key, "began")
    if not os.path.exists(path):
        with open(path, "x"):
            raise ValueError("the first time")
    return "the second time"


def fail_and_note(key: str) -> None:
    note(key, "began")
    raise ValueError("always")


def processors() -> list[int]:
    """Hold the worker for a moment, and say where it may run."""
    time.sleep(0.1)
    return [os.getpid(), *sorted(os.sched_getaffinity(0))]


async def nap_async(key: str, seconds: float) -> str:
    note(key, "began")
    try:
        await asyncio.sleep(seconds)
    finally:
        note(key, "cleaned up")
    return key


def slow_with_clean_up(key: str, seconds: float) -> None:
    note(key, "began")
    try:
        time.sleep(seconds)
    finally:
        note(key, "cleaned up")


def hook(task: Any) -> None:
    """A task hook: note how the task ended, under its group."""
    note(task.group, f"{task.outcome} {task.name}")


def count_up(key: str, seconds: float) -> str:
    """A generator function of which a caller gets an object and no work."""
    note(key, "began")
    yield seconds
