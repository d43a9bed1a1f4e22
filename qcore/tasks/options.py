"""Options: what a call says about its task, checked where the call is made.

A wrong option that travels would be found by a cluster, which can only set the whole
package aside, long after the caller has got an id.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any

from ..brokers.base import Broker
from ..conf.names import label_fault, plain, queue_fault, shown
from ..errors import EnqueueError
from .advice import OPTIONS, instead_of
from .functions import path_of

#: Seconds, nearly 32 years: the longest time that an option may name. Clocks, caches
#: and services all reckon with it; of memcached it is the limit.
LONGEST = 1_000_000_000
#: Deliveries; databases and services count in 32 bits.
MOST_ATTEMPTS = 2**31 - 1


_ID = re.compile("[0-9a-f]{32}")


class Wrong(Exception):
    """An option is wrong; says what was expected."""


class Fault(Exception):
    """An option is wrong; says all of it: ``is empty, expected a text``."""


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as they are used: plain values, without those that say nothing.

    ``None`` says "as usual", except for ``timeout``, where it sets no limit.

    Raises:
        EnqueueError: one of them is unknown, or has a wrong type or range.
    """
    checked = {}
    for name, value in options.items():
        check = CHECKS.get(name)
        if check is None:
            raise EnqueueError(unknown_option(name))
        if value is None and name not in _NONE_SAYS_SOMETHING:
            continue
        plain_value = held(name, value, check)
        if plain_value is not None or name == "timeout":
            checked[name] = plain_value
    return checked


def held(name: str, value: Any, check: Callable[[Any], Any]) -> Any:
    """Return what ``check`` makes of the value of an option.

    Raises:
        EnqueueError: it has a wrong type or range; names the option.
    """
    try:
        return check(value)
    except Wrong as wrong:
        told = f"is {shown(value)}, expected {wrong}"
        raise EnqueueError(f"option {name!r} {told}.") from None
    except Fault as fault:
        raise EnqueueError(f"option {name!r} {fault}.") from None
    except EnqueueError as error:
        raise EnqueueError(f"option {name!r}: {error}") from error


def check_id(task_id: object) -> None:
    """Refuse what is no id of a task.

    Raises:
        EnqueueError: it is not 32 hexadecimal digits in lower case.
    """
    if not isinstance(task_id, str) or not _ID.fullmatch(task_id):
        raise EnqueueError(
            f"q_options: task_id is {shown(task_id)}, expected 32 hexadecimal digits in"
            " lower case, such as uuid.uuid4().hex."
        )


def unknown_option(name: object) -> str:
    """Return the complaint about an option, with what is meant by it, perhaps."""
    near = instead_of(name) if isinstance(name, str) else ""
    return (
        f"unknown option {name!r}{near}. Known options: {', '.join(sorted(OPTIONS))}."
    )


def given(**options: Any) -> dict[str, Any]:
    """Return the options that say something: those that are not None."""
    return {key: value for key, value in options.items() if value is not None}


# -- one check for each kind of option -----------------------------------------------
def _bool(value: Any) -> bool:
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
_MOMENT = (
    "seconds or a timedelta from now. For a moment, call it run_after: pass"
    " delay=run_after - timezone.now(), or use schedule(..., next_run=run_after)"
)


def _timeout(value: Any) -> float | None:
    if type(value) is int and 0 < value <= LONGEST:
        return value
    if value is None:
        return None
    seconds = _at_least(value, 0, _TIMEOUT)
    if seconds == 0:
        raise Wrong(_TIMEOUT)
    return seconds


def _cached(value: Any) -> float | bool:
    if isinstance(value, bool):
        return value
    return _at_least(value, 0, _CACHED) or False


def _delay(value: Any) -> float:
    if isinstance(value, dt.date):  # or a datetime, which is one
        raise Wrong(_MOMENT)
    return _at_least(value, 0, _DELAY)


def _at_least(value: Any, least: float, expected: str) -> float:
    try:
        seconds = _seconds(value)
    except (Wrong, OverflowError):
        raise Wrong(expected) from None
    if seconds < least:
        raise Wrong(expected)
    return seconds


def _attempts(value: Any) -> int:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if not is_int or not 0 <= value <= MOST_ATTEMPTS:
        raise Wrong("a whole number >= 0 (0 sets no limit)")
    return int(value)


def _commit(value: Any) -> str:
    if not isinstance(value, str) or value not in ("on_commit", "now"):
        raise Wrong("'on_commit' or 'now'")
    return plain(value)


def _broker(value: Any) -> Broker:
    if not isinstance(value, Broker):
        raise Wrong("a broker object; the setting chooses the project's own")
    return value


def _label(value: Any) -> str | None:
    return _name(value, label_fault)


def _cluster(value: Any) -> str | None:
    return _name(value, queue_fault)


def _name(value: Any, fault: Callable[[object], str]) -> str | None:
    if isinstance(value, str) and not value:
        return None  # as if it were left out
    if found := fault(value):
        raise Fault(found)
    return plain(value)


CHECKS: dict[str, Callable[[Any], Any]] = {
    "ack_failure": _bool,
    "broker": _broker,
    "cached": _cached,
    "cluster": _cluster,
    "commit": _commit,
    "delay": _delay,
    "group": _label,
    "hook": path_of,
    "max_attempts": _attempts,
    "save": _bool,
    "sync": _bool,
    "task_name": _label,
    "timeout": _timeout,
}
_NONE_SAYS_SOMETHING = frozenset({"max_attempts", "timeout"})
