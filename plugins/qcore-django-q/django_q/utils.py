"""Helpers of django-q that projects import."""

from __future__ import annotations

import calendar
import datetime as dt
import inspect
from collections.abc import Callable
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django import db
from django.conf import settings
from django.utils import timezone

from .conf import Conf

Date = TypeVar("Date", bound=dt.date)


def add_months(d: Date, months: int) -> Date:
    """Return the same day of a later month; the last day of a month that is shorter."""
    years, month = divmod(d.month - 1 + months, 12)
    year, month = d.year + years, month + 1
    last = calendar.monthrange(year, month)[1]
    return d.replace(year=year, month=month, day=min(d.day, last))


def add_years(d: Date, years: int) -> Date:
    """Return the same day of a later year; 28 February for 29 February."""
    return add_months(d, 12 * years)


def get_func_repr(func: Callable[..., Any] | str | None) -> str | None:
    """Return the dotted path of a function, as far as it has one."""
    if inspect.isfunction(func):
        return f"{func.__module__}.{func.__name__}"
    if inspect.ismethod(func) and hasattr(func.__self__, "__name__"):
        owner = func.__self__
        return f"{owner.__module__}.{owner.__name__}.{func.__name__}"
    return str(func) if func else None


def localtime(value: dt.datetime | None = None) -> dt.datetime:
    """Return a moment, or now, in the time zone of schedules."""
    if not settings.USE_TZ:
        return dt.datetime.now() if value is None else value  # noqa: DTZ005 - as the project
    return timezone.localtime(value, ZoneInfo(Conf.TIME_ZONE or settings.TIME_ZONE))


def close_old_django_connections() -> None:
    """Close connections that are of no use any more; not where tasks run in the caller."""
    if not Conf.SYNC:
        db.close_old_connections()
