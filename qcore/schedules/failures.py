"""Failures: the schedules that cannot be fired, and when each of them is tried again.

The error stands in the row of its schedule, for people. A database that is away is nobody's
fault: its error is raised, and the next tick tries all schedules again.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter

from django.db import connections, transaction
from django.db.utils import Error, InterfaceError, OperationalError

from ..models import Schedule
from .error_text import error_text

logger = logging.getLogger("qcore.scheduler")

#: A schedule that cannot be fired is tried again after this, doubled each time ...
RETRY = dt.timedelta(minutes=1)
#: ... and paused, with its error, after so many tries.
MAX_TRIES = 5

#: Times in a row that a database which answers may fail one schedule, as if passing,
#: before the schedule is taken for the reason.
PASSING = 3


class Failures:
    """The schedules of one database that cannot be fired.

    Args:
        database: its alias.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        #: Schedules that the database fails as if passing, and how many times in a row.
        self._suspects: Counter[int] = Counter()
        #: Schedules on which nothing can be noted, and until when they are left alone.
        self._resting: dict[int, float] = {}

    def resting(self) -> list[int]:
        """Return the keys of the schedules that are left alone for now."""
        now = time.monotonic()
        self._resting = {pk: end for pk, end in self._resting.items() if end > now}
        return list(self._resting)

    def forget(self, row: Schedule) -> None:
        """Suspect a schedule no more: it has been fired."""
        self._suspects.pop(row.pk, None)

    def forget_all(self) -> None:
        """Suspect no schedule more: all have been fired."""
        self._suspects.clear()

    def ask_database(self, error: Exception) -> None:
        """Raise the error of a database that does not answer any more."""
        connection = connections[self._database]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Error:
            raise error from None

    def blame(self, row: Schedule, error: Exception, now: dt.datetime) -> Error | None:
        """Note an error on its schedule; return the error instead where it may pass."""
        if isinstance(error, (OperationalError, InterfaceError)):
            self._suspects[row.pk] += 1
            if self._suspects[row.pk] < PASSING:
                return error
        self.forget(row)
        self.note(row, error, now)
        return None

    def note(self, row: Schedule, error: BaseException, now: dt.datetime) -> None:
        """Write an error into its schedule, and when that is tried again; log both.

        Raises:
            Exception: the database does not answer.
        """
        tries = row.tries + 1
        paused = tries >= MAX_TRIES
        text = error_text(error)
        same = Schedule.objects.using(self._database).filter(
            pk=row.pk, next_run=row.next_run
        )
        try:
            with transaction.atomic(self._database):
                same.update(
                    error=text,
                    tries=tries,
                    retry_at=now + RETRY * 2 ** (tries - 1),
                    paused=paused,
                )
        except Exception as failure:  # noqa: BLE001 - a driver may raise anything
            self.ask_database(failure)
            self._resting[row.pk] = time.monotonic() + RETRY.total_seconds()
            logger.error("schedule %s cannot be changed: %s", row, error_text(failure))
        logger.error("schedule %s cannot be fired%s: %s", row,
                     ", and is paused" if paused else "", text)  # fmt: skip
