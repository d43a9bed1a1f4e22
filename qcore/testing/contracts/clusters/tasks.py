"""The tasks of ``ClusterContract``; each writes into the ledger what it does."""

from __future__ import annotations

import time
from typing import Any

from ....errors import Retry, Snooze
from ...ledger import Ledger, note


def nap(key: str, seconds: float = 0, value: Any = None) -> Any:
    """Sleep, with an entry before and after, and return the value."""
    note(key, "began")
    time.sleep(seconds)
    note(key, "ended")
    return value


def sleep_once(key: str, seconds: float) -> str:
    """Sleep the first time that it runs; after that end at once."""
    earlier = Ledger.of_this_process().entries(key, "began")
    note(key, "began")
    if not earlier:
        time.sleep(seconds)
    note(key, "ended")
    return key


def retry_once(key: str, after: float) -> str:
    """Ask for another attempt the first time that it runs; after that end."""
    if _is_first(key):
        raise Retry("the first time", after=after)
    note(key, "ended")
    return key


def snooze_once(key: str, after: float) -> str:
    """Ask to come again the first time that it runs; after that end."""
    if _is_first(key):
        raise Snooze("the first time", after=after)
    note(key, "ended")
    return key


def _is_first(key: str) -> bool:
    earlier = Ledger.of_this_process().entries(key, "began")
    note(key, "began")
    return not earlier
