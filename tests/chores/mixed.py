"""The tasks of a soak: each notes its beginning and its end, and how that came."""

from __future__ import annotations

import os
import time

from .ledger import Ledger, note


def work(key: str, seconds: float) -> int:
    """Take a while, and say which worker has done it."""
    note(key, "began")
    time.sleep(seconds)
    note(key, "ended")
    return os.getpid()


def fail(key: str) -> None:
    """Fail every time."""
    note(key, "began")
    note(key, "failed")
    raise ValueError("as it always does")


def crash_once(key: str) -> int:
    """End the process the first time."""
    earlier = Ledger.of_this_process().entries(key, "crashed")
    note(key, "began")
    if not earlier:
        note(key, "crashed")
        os._exit(3)
    note(key, "ended")
    return os.getpid()


def bulky(key: str, size: int) -> str:
    """Return something large."""
    note(key, "began")
    text = "x" * size
    note(key, "ended")
    return text
