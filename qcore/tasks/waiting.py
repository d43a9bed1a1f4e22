"""Waiting: asking a store again until it has an answer or the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from ..current import current

if TYPE_CHECKING:
    from ..results.base import ResultStore

T = TypeVar("T")

Wait = int  # milliseconds; -1: for ever
Cached = bool | float | None
#: "as the setting `cached` says"
UNSET_CACHED: Final = None

# Seconds between two questions: quick at first, for results that are nearly there,
# then slower, so that a long wait costs the database little.
_FIRST, _GROWTH, _LONGEST = 0.002, 1.5, 0.1


def chosen_store(cached: Cached) -> ResultStore:
    """Return the store that ``cached``, or else the setting of that name, chooses."""
    return current.store(current.conf.cached if cached is None else cached)


def wait_for(ask: Callable[[], T | None], wait: Wait) -> T | None:
    """Ask until the answer is not None, for up to ``wait`` milliseconds; -1: for ever."""
    deadline = None if wait < 0 else time.monotonic() + wait / 1000
    pause = _FIRST
    while (answer := ask()) is None:
        left = pause if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST)
    return answer
