"""The outlook: when the next schedule is due, and whether a slot waits to be sent.

An idle cluster asks that all the time and does little else. So it is one statement, and
Django puts it together once: that takes several times as long as the answer. Before the
dispatcher is forked, where that can be: it touches, and there would copy, 1.6 MiB.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
from django.conf import settings
from django.db import Error, connections
from django.db.models import Min, Value
from django.utils import timezone

from ..models import Schedule, ScheduleSlot
from . import outbox

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from ..conf import Conf


logger = logging.getLogger("qcore.scheduler")

#: What was put together in this process or in the one that it was forked from.
_statements: dict[tuple[object, ...], _Statement] = {}


class View(NamedTuple):
    """The schedules at one moment."""

    next_run: dt.datetime | None  # of the first schedule that may fire; None: no such
    is_unsent: bool  # whether a slot has fired and is nobody's to send


class Outlook:
    """Looks at the schedules of one cluster.

    Args:
        conf: its settings.
        database: alias of the database that has the schedules.
    """

    def __init__(self, conf: Conf, database: str) -> None:
        self._conf = conf
        self._database = database

    def prepare(self) -> None:
        """Put the statement together, where that asks no database that is away.

        Django has to know the version of MariaDB for it.
        """
        try:
            self._statement(timezone.now())
        except Error as error:
            logger.debug(
                "the first look will be put together when it is due: %s", error
            )

    def look(self, now: dt.datetime) -> View:
        """Return the next run, and whether a slot is unsent, at a moment.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        statement = self._statement(now)
        connection = connections[self._database]
        with connection.cursor() as cursor:
            cursor.execute(statement.sql, statement.parameters(now))
            found = dict(cursor.fetchall())
        return View(statement.convert(found["next"]), found["unsent"] is not None)

    def _statement(self, now: dt.datetime) -> _Statement:
        conf = self._conf
        # all that it depends on; of the settings, how Django reads a moment
        key = (self._database, conf.queue, conf.name, settings.USE_TZ)
        if (statement := _statements.get(key)) is None:
            statement = _statements[key] = self._put_together(now)
        return statement

    def _put_together(self, now: dt.datetime) -> _Statement:
        """Have Django write the statement, and find the moments among its parameters."""
        schedules = Schedule.objects.using(self._database).active(self._conf)
        slots = ScheduleSlot.objects.using(self._database)
        both = _first("next", schedules.ready(now), "next_run").union(
            _first("unsent", outbox.unsent(slots, now), "slot"), all=True
        )
        both = both.order_by()  # since Django 6 a union is ordered as the model is
        compiler: Any = both.query.get_compiler(using=self._database)
        sql, parameters = compiler.as_sql()
        connection = connections[self._database]

        def adapt(moment: dt.datetime) -> object:
            return connection.ops.adapt_datetimefield_value(moment)

        # compared, not looked up: what else is among them may have no hash
        moments = [(adapt(now - age), age) for age in (dt.timedelta(), outbox.STALE)]
        ages = {
            place: age
            for place, parameter in enumerate(parameters)
            for moment, age in moments
            if parameter == moment
        }
        # the second column of both halves is a moment
        expression = compiler.select[1][0]
        converters = [
            *connection.ops.get_db_converters(expression),
            *expression.get_db_converters(connection),
        ]

        def convert(value: Any) -> dt.datetime | None:
            for converter in converters:
                value = converter(value, expression, connection)
            return cast("dt.datetime | None", value)

        return _Statement(sql, parameters, ages, adapt, convert)


class _Statement(msgspec.Struct, frozen=True):
    """What is asked, and how its words are written and read."""

    sql: str
    fixed: Sequence[Any]
    ages: dict[int, dt.timedelta]  # place of a parameter -> how long before now it is
    adapt: Callable[[dt.datetime], object]
    convert: Callable[[Any], dt.datetime | None]

    def parameters(self, now: dt.datetime) -> list[Any]:
        """Return the parameters for a moment."""
        filled = list(self.fixed)
        for place, age in self.ages.items():
            filled[place] = self.adapt(now - age)
        return filled


def _first(
    name: str, rows: QuerySet[Any], field: str
) -> QuerySet[Any, tuple[Any, ...]]:
    """Return the question for the least value of a field, which has a name."""
    named = rows.order_by().values(half=Value(name))
    both: QuerySet[Any, Any] = named.annotate(first=Min(field))
    return both.values_list("half", "first")
