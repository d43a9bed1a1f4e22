"""Checks of options: one for each kind of value; each returns it as it is used."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..backoff import LONGEST, WORDS, Backoff
from ..brokers.base import Broker
from ..clock import wall
from ..conf.names import label_fault, plain, queue_fault, shown
from ..errors import Discard, Retry, Snooze, TaskTimeout, did_you_mean
from .functions import path_of
from .option import Fault, Wrong

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


_BACKOFF = (
    f"seconds >= 0 {_MOST}, a timedelta, 'exponential', 'linear', a qcore.Backoff, or a"
    " function (attempt, error) -> seconds or its dotted path"
)
_CLASSES = "exception classes or their dotted paths, in a list"


def backoff(value: Any) -> Any:
    if isinstance(value, Backoff) or (isinstance(value, str) and value in WORDS):
        return value
    if isinstance(value, dict):  # as a schedule keeps it
        try:
            return Backoff(**value)
        except (TypeError, ValueError) as error:
            raise Fault(f"is wrong: {error}") from None
    if callable(value):
        return function(value)
    if isinstance(value, str):
        if "." not in value:
            near = did_you_mean(value, WORDS)
            raise Fault(f"is {shown(value)}{near}, expected {_BACKOFF}")
        return function(value)
    return at_least(value, 0, _BACKOFF)


def exceptions(value: Any) -> tuple[str, ...]:
    """Return the paths of exception classes; one need not stand in a list."""
    items = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    return tuple(sorted({_exception(item) for item in items}))


def _exception(item: Any) -> str:
    found = item
    if isinstance(item, str):
        module, _, name = item.rpartition(".")
        try:
            found = getattr(import_module(module or "builtins"), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise Fault(
                f"has {shown(item)}, which cannot be imported ({error}); expected"
                f" {_CLASSES}"
            ) from None
    if not isinstance(found, type) or not issubclass(found, Exception):
        raise Fault(f"has {shown(item)}, expected {_CLASSES}")
    if found in (Retry, Snooze, Discard):
        raise Fault(f"has {found.__name__}, which says by itself what is to happen")
    if issubclass(found, TaskTimeout):
        raise Fault("has TaskTimeout; a timeout is no error of the task and is retried")
    return f"{found.__module__}.{found.__qualname__}"


def function(value: Any) -> str:
    return path_of(value)
