"""Task hooks, and calls of an iter, that take time or end their process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

from .ledger import Ledger, note
from .rude import block_signals


def take_a_while(task: Any) -> None:
    """Take as long as the task did."""
    note(task.group, "hook began")
    time.sleep(task.args[1])
    note(task.group, "hook ended")


def take_too_long(task: Any) -> None:
    """Sleep until it is stopped; clean up."""
    note(task.group, "hook began")
    try:
        time.sleep(60)
    finally:
        note(task.group, "hook cleaned up")


def leave(task: Any) -> None:
    """End the process, as far as an exception can."""
    note(task.group, "hook left")
    sys.exit(3)


def cancel(task: Any) -> None:
    """Raise what is no Exception."""
    note(task.group, "hook cancelled")
    raise asyncio.CancelledError


def die(task: Any) -> None:
    """End the process."""
    note(task.group, "hook died")
    os._exit(4)


def never_end(task: Any) -> None:
    """Ignore everything that can be ignored."""
    block_signals(task.group)


def be_killed_once(task: Any) -> None:
    """Kill its worker the first time, and end the second time."""
    earlier = Ledger.of_this_process().entries(task.group, "hook began")
    note(task.group, "hook began")
    if not earlier:
        os.kill(os.getpid(), signal.SIGKILL)
    note(task.group, "hook ended")


def wait_for_the_second(task: Any) -> None:
    """Hang the first time, until its cluster is killed; end the second time."""
    earlier = Ledger.of_this_process().entries(task.group, "hook began")
    note(task.group, "hook began")
    if not earlier:
        time.sleep(60)
    note(task.group, "hook ended")


def leave_if_odd(number: int) -> int:
    """End the process, or return the number."""
    if number % 2:
        os._exit(9)
    return number


def meet(key: str, number: int, workers: int) -> int:
    """Note the number, wait for so many workers to have one, and fail for every fifth.

    It gives the others up after a minute.
    """
    note(key, str(number))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        entries = Ledger.of_this_process().entries(key)
        if len({entry.pid for entry in entries}) >= workers:
            break
        time.sleep(0.05)
    if number % 5 == 4:
        raise ValueError(f"{number} is refused")
    return number
