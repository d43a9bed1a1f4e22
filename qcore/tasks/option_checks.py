"""Checks of options: one for each kind of value; each returns it as it is used."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

from ..brokers.base import Broker
from ..clock import wall
from ..conf.names import label_fault, plain, queue_fault
from .option import Fault, Wrong

#: Seconds, nearly 32 years: the longest time that an option may name. Clocks, caches
#: and services all reckon with it; of memcached it is the limit.
LONGEST = 1_000_000_000
#: Deliveries; databases and services count in 32 bits.
MOST_ATTEMPTS = 2**31 - 1


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong("True or False")
    return value


def _seconds(value: Any) -> float:
    """Return seconds of a number or a timedelta, as a plain int or float."""
    if isinstance(value, dt.timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Wrong("")
    if not math.isfinite(value) or value > LONGEST:
        raise Wrong("")
    return int(value) if isinstance(value, int) else float(value)


_MOST = f"(at most {LONGEST:,})"
_TIMEOUT = f"seconds > 0 {_MOST}, a timedelta, or None for no limit"
_CACHED = f"True, False, seconds >= 0 {_MOST} or a timedelta"
_DELAY = f"seconds >= 0 {_MOST} or a timedelta"
_MOMENT = "seconds or a timedelta from now. A moment is for 'run_after'"
_NAIVE = (
    "a datetime with a time zone. django.utils.timezone.make_aware(value) gives it that"
    " of the project"
)
_EXPIRES = f"seconds > 0 {_MOST}, a timedelta, or a datetime with a time zone"
_RUN_AFTER = (
    f"a datetime with a time zone, or a timedelta, at most {LONGEST:,} s ahead. Seconds are"
    " for 'delay'"
)
#: As Django has it for its tasks.
LOWEST_PRIORITY, HIGHEST_PRIORITY = -100, 100


def timeout(value: Any) -> float | None:
    if type(value) is int and 0 < value <= LONGEST:
        return value
    if value is None:
        return None
    seconds = at_least(value, 0, _TIMEOUT)
    if seconds == 0:
        raise Wrong(_TIMEOUT)
    return seconds


def cached(value: Any) -> float | bool:
    if isinstance(value, bool):
        return value
    return at_least(value, 0, _CACHED) or False


def delay(value: Any) -> float:
    if isinstance(value, dt.date):  # or a datetime, which is one
        raise Wrong(_MOMENT)
    return at_least(value, 0, _DELAY)


def expires(value: Any) -> float | dt.datetime:
    if isinstance(value, dt.date):  # or a datetime, which is one
        return _aware(value, _EXPIRES)
    seconds = at_least(value, 0, _EXPIRES)
    if seconds == 0:
        raise Wrong(_EXPIRES)
    return seconds


def run_after(value: Any) -> dt.timedelta | dt.datetime:
    if isinstance(value, dt.date):
        moment = _aware(value, _RUN_AFTER)
        if moment.timestamp() - wall() > LONGEST:
            raise Wrong(_RUN_AFTER)
        return moment
    if not isinstance(value, dt.timedelta):
        raise Wrong(_RUN_AFTER)
    at_least(value, 0, _RUN_AFTER)
    return value


def _aware(value: dt.date, expected: str) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise Wrong(expected)
    if value.utcoffset() is None:
        raise Wrong(_NAIVE)
    return value


def priority(value: Any) -> int:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if not is_int or not LOWEST_PRIORITY <= value <= HIGHEST_PRIORITY:
        raise Wrong(
            f"a whole number from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY} (the higher one"
            " goes first)"
        )
    return int(value)


def at_least(value: Any, least: float, expected: str) -> float:
    try:
        seconds = _seconds(value)
    except (Wrong, OverflowError):
        raise Wrong(expected) from None
    if seconds < least:
        raise Wrong(expected)
    return seconds


def attempts(value: Any) -> int:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if not is_int or not 0 <= value <= MOST_ATTEMPTS:
        raise Wrong("a whole number >= 0 (0 sets no limit)")
    return int(value)


def commit(value: Any) -> str:
    if not isinstance(value, str) or value not in ("on_commit", "now"):
        raise Wrong("'on_commit' or 'now'")
    return plain(value)


def broker(value: Any) -> Broker:
    if not isinstance(value, Broker):
        raise Wrong("a broker object; the setting chooses the project's own")
    return value


def label(value: Any) -> str | None:
    return _name(value, label_fault)


def queue(value: Any) -> str | None:
    return _name(value, queue_fault)


def _name(value: Any, fault: Callable[[object], str]) -> str | None:
    if isinstance(value, str) and not value:
        return None  # as if it were left out
    if found := fault(value):
        raise Fault(found)
    return plain(value)


def function(value: Any) -> str:
    from .functions import path_of  # needs to know the options itself

    return path_of(value)
