"""Columns of a schedule that a call names: each is checked by its type, where it is made.

What a database or a form would make of a wrong value is another thing than was meant:
of ``minutes=1.5`` a schedule that runs every minute, of ``name=print`` one that is called
``<built-in function print>``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from ..conf.names import label_fault, plain, queue_fault
from ..errors import EnqueueError
from ..results.rows import NAME
from ..tasks.functions import path_of
from ..tasks.option import Fault, Wrong, held
from .rules import is_type, unknown_type

#: Databases count in 32 bits.
MOST = 2**31 - 1


def columns_of(options: dict[str, Any]) -> dict[str, Any]:
    """Take the columns out of ``options``, and return them as they are stored.

    None and an empty text say "as usual"; those are left out.

    Raises:
        EnqueueError: one of them has a wrong type.
    """
    found = {}
    for name, check in CHECKS.items():
        value = options.pop(name, None)
        if value is None or (isinstance(value, str) and not value):
            continue
        found[name] = held(name, value, check)
    return found


def _text(expected: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong(expected)
        return plain(value)

    return check


def _named(fault: Callable[[object], str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if found := fault(value):
            raise Fault(found)
        return plain(value)

    return check


def _count(least: int, expected: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        is_int = isinstance(value, int) and not isinstance(value, bool)
        if not is_int or not least <= value <= MOST:
            raise Wrong(expected)
        return int(value)

    return check


def _type(value: Any) -> str:
    if not is_type(value):
        raise EnqueueError(f"{unknown_type(value)}.")
    return plain(value)


def _argument(value: Any) -> str:
    is_name = isinstance(value, str) and value.isidentifier()
    if not is_name or len(value) > NAME:
        raise Wrong(f"the name of an argument, of up to {NAME} characters")
    return plain(value)


_MOMENT = (
    "a datetime, a date or a text such as '2026-01-31 08:00'. For seconds from now, write"
    " timezone.now() + timedelta(seconds=...)"
)


def _moment(value: Any) -> dt.datetime:
    """Return the moment of a datetime, of a date (its midnight), or of a text of them."""
    if isinstance(value, str):
        from django.utils.dateparse import parse_date, parse_datetime

        try:
            value = parse_datetime(value) or parse_date(value)
        except ValueError:  # it has the form of one: '2026-02-30'
            value = None
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time.min)
    raise Wrong(_MOMENT)


CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _named(label_fault),
    "hook": path_of,
    "schedule_type": _type,
    "minutes": _count(1, "a whole number of 1 or more"),
    "repeats": _count(-MOST, "a whole number of runs, or -1 for ever"),
    "next_run": _moment,
    "cron": _text("a text such as '0 3 * * *'"),
    "cluster": _named(queue_fault),
    "intended_date_kwarg": _argument,
}
