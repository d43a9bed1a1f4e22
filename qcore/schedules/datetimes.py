"""Datetimes: the value of a column as an instant, and back.

Where ``USE_TZ`` is True, Django stores instants. Where it is False, a column has the time
on the wall of ``TIME_ZONE``. In the hour that comes twice when summer time ends, the
microsecond says which is meant: slots have whole seconds, and 1 stands for the second time.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from ..conf.names import quoted
from ..errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from ..conf import Conf

_SECOND_TIME = dt.timedelta(microseconds=1)

#: Years of a next run: outside of them, the same moment in another zone may be no date.
_YEARS = range(1900, 9001)


def zone_of(conf: Conf) -> dt.tzinfo | None:
    """Return the zone of schedules; None where Django has no ``TIME_ZONE``."""
    return ZoneInfo(conf.time_zone) if conf.time_zone else _wall()


def named_zone(name: object) -> ZoneInfo:
    """Return the zone of a name such as ``Europe/Paris``.

    Raises:
        ConfigError: there is no such zone; with the nearest name.
    """
    try:
        return ZoneInfo(name)  # type: ignore[arg-type]
    except (TypeError, ValueError, OSError, KeyError):
        near = did_you_mean(
            name if isinstance(name, str) else "", available_timezones()
        )
        told = near or ", expected a name such as 'Europe/Paris'"
        raise ConfigError(f"there is no zone {quoted(name)}{told}") from None


def _wall() -> dt.tzinfo | None:
    from django.conf import settings

    return ZoneInfo(settings.TIME_ZONE) if settings.TIME_ZONE else None


def _is_aware() -> bool:
    from django.conf import settings

    return bool(settings.USE_TZ)


def instant(now: dt.datetime) -> dt.datetime:
    """Return the instant of Django's clock, which may be wall time."""
    if now.tzinfo is not None or _wall() is None:
        return now
    return dt.datetime.now(dt.UTC)


def read(moment: dt.datetime) -> dt.datetime:
    """Return the instant that a column means."""
    zone = _wall()
    if moment.tzinfo is not None or zone is None:
        return moment
    # PostgreSQL takes each time that comes twice for the second, and psycopg says so
    aware = moment.replace(fold=0, tzinfo=zone)
    if moment.microsecond == 1 and not _is_aware():
        second = moment.replace(microsecond=0, fold=1, tzinfo=zone)
        if second.utcoffset() != second.replace(fold=0).utcoffset():
            aware = second
    # compared and subtracted as instants, which two times of one zone are not
    return aware.astimezone(dt.UTC)


def write(moment: dt.datetime) -> dt.datetime:
    """Return an instant in the form of a column; a naive instant stays as it is."""
    if moment.tzinfo is None or _is_aware():
        return moment
    zone = _wall()
    if zone is None:
        return moment.astimezone().replace(tzinfo=None)
    wall = moment.astimezone(zone)
    plain = wall.replace(tzinfo=None, fold=0)
    return plain.replace(microsecond=0) + _SECOND_TIME if wall.fold else plain


def shown(slot: dt.datetime) -> dt.datetime:
    """Return a slot for people and tasks: aware where ``USE_TZ`` is True, else wall time."""
    wall = write(slot)
    return wall.replace(microsecond=0) if wall.microsecond == 1 else wall


def given(moment: dt.datetime, conf: Conf) -> dt.datetime:
    """Return a moment that a person wrote, in the form of a column.

    A naive one is the time on the wall in the zone of schedules where ``USE_TZ`` is True.
    """
    if moment.tzinfo is not None:
        return write(moment)
    zone = zone_of(conf)
    if zone is None or not _is_aware():
        return moment
    from .rules import resolve_wall

    return resolve_wall(zone, moment)


def year_fault(moment: object) -> str:
    """Return what is wrong with the year of a next run, whatever a form has left there."""
    if not isinstance(moment, dt.datetime) or moment.year in _YEARS:
        return ""
    return f"is of the year {moment.year}, expected {_YEARS[0]} to {_YEARS[-1]}."
