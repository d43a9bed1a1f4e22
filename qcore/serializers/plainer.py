"""Plainer values: what stands for a value of a subclass, or of a lazy text, in JSON.

Templates give SafeString, forms give QueryDict, models give members of TextChoices, tests
give the datetimes of a stopped clock. Each of them is a value of a documented type with
something added, and the value is what a task works with. This is a path that values of
the documented types themselves never take.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from .refusals import Refused


def _datetime(value: dt.datetime) -> dt.datetime:
    return dt.datetime(
        *(value.year, value.month, value.day),
        *(value.hour, value.minute, value.second, value.microsecond),
        tzinfo=value.tzinfo,
        fold=value.fold,
    )


def _time(value: dt.time) -> dt.time:
    parts = value.hour, value.minute, value.second, value.microsecond
    return dt.time(*parts, tzinfo=value.tzinfo, fold=value.fold)


#: Base -> what makes a value of exactly that type of a value of a subclass. The methods
#: are those of the base: ``str(x)`` of a text choice gives its name. A datetime is a date,
#: too, so it is first.
_BASES: dict[type, Callable[[Any], object]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytearray(memoryview(value)),
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    dict: dict,
    dt.datetime: _datetime,
    dt.date: lambda value: dt.date(value.year, value.month, value.day),
    dt.time: _time,
    dt.timedelta: lambda value: dt.timedelta(
        value.days, value.seconds, value.microseconds
    ),
    Decimal: Decimal,
    UUID: lambda value: UUID(int=value.int),
}

#: Packages whose subclasses hold more than their base does: a Timestamp of pandas has
#: nanoseconds, and its NaT is no moment at all.
_HOLD_MORE = ("pandas",)


def plainer(value: object) -> object:
    """Return the value of a documented type that stands for ``value``.

    Raises:
        Refused: nothing does.
    """
    kind = type(value)
    if is_lazy(kind):
        return _evaluated(value)
    if kind.__module__.partition(".")[0] in _HOLD_MORE:
        raise Refused(value)
    for base, convert in _BASES.items():
        if issubclass(kind, base):
            try:
                plain = convert(value)
            except Exception:  # noqa: BLE001 - a stranger's class may raise anything
                break
            if type(plain) is base:
                return plain
            break
    raise Refused(value)


def is_lazy(kind: type) -> bool:
    """Whether a type is that of Django's lazy values, such as a lazy translation."""
    # by its name: this layer loads no Django
    return kind.__name__ == "__proxy__" and kind.__module__ == "django.utils.functional"


def _evaluated(value: Any) -> object:
    """Return what a lazy value is now: a translation, in the language of the sender."""
    try:
        now: object = value._proxy____cast()  # noqa: SLF001 - all that it has
    except Exception:  # noqa: BLE001 - it runs a function of the project
        raise Refused(value) from None
    if is_lazy(type(now)):
        raise Refused(value)
    return now
