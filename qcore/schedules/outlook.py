"""The outlook: when the next schedule is due, and whether a slot waits to be sent.

An idle cluster asks that each second and does little else. So it is one statement, and
Django puts it together once: that takes several times as long as the answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from django.db import connections
from django.db.models import Min, Value

from ..models import Schedule, ScheduleSlot
from . import outbox

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from ..conf import Conf


class View(NamedTuple):
    """What one look has seen."""

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
        self._statement: _Statement | None = None

    def look(self, now: dt.datetime) -> View:
        """Return what is ahead at a moment.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        if self._statement is None:
            self._statement = self._put_together(now)
        statement = self._statement
        connection = connections[self._database]
        with connection.cursor() as cursor:
            cursor.execute(statement.sql, statement.parameters(now))
            found = dict(cursor.fetchall())
        return View(statement.convert(found["next"]), found["unsent"] is not None)

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


@dataclass(frozen=True, slots=True)
class _Statement:
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
