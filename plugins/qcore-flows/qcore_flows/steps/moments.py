"""Moments: what callers say of them, and the clock of a run."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.utils import timezone

from qcore.clock import elapsed
from qcore.conf.names import shown

from .errors import StepError

#: Seconds, nearly 32 years: as the options of qcore itself.
LONGEST = 1_000_000_000.0


class RunClock:
    """The clock of the ledger's database, without a statement for each look.

    Args:
        now: what the database has said, in seconds since the epoch.
    """

    def __init__(self, now: float) -> None:
        self._ahead = now - elapsed()

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return elapsed() + self._ahead


def due_at(when: object, now: float) -> float:
    """Return the moment that a caller has named, in seconds since the epoch.

    Args:
        when: a datetime, a timedelta from now, or seconds from now.
        now: seconds since the epoch.

    Raises:
        StepError: it is none of these.
    """
    if isinstance(when, dt.datetime):
        if timezone.is_naive(when):
            if settings.USE_TZ:
                raise StepError(
                    f"{when!r} has no time zone. django.utils.timezone.make_aware(value)"
                    " gives it that of the project"
                )
            when = timezone.make_aware(when, timezone.get_default_timezone())
        moment = when.timestamp()
        if moment > now + LONGEST:
            raise StepError(
                f"{when!r} is over {LONGEST:,.0f} s ahead, which is the limit"
            )
        return moment
    return now + seconds_of(when, "a datetime, a timedelta or seconds from now")


def seconds_of(value: Any, expected: str) -> float:
    """Return seconds or a timedelta as seconds.

    Raises:
        StepError: it is neither, or below 0.
    """
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    # nan is not between any two numbers
    if not is_number or not 0 <= seconds <= LONGEST:
        raise StepError(
            f"got {shown(value)}, expected {expected}, 0 to {LONGEST:,.0f} s"
        )
    return float(seconds)
