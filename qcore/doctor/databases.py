"""The databases in use: do they answer, what time is it there, are the tables ready."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.db import connections

from ..findings import Finding, error, ok
from .measures import judge_clock, judge_round_trip, round_trip
from .tables import Tables, examine, of_plugins, required, unset

# Seconds since the epoch; an SQLite file has the clock of this host.
_CLOCKS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6",
}


def databases() -> Iterator[Finding]:
    """Yield what each database in use says.

    Raises:
        django.db.Error: one cannot be reached.
    """
    is_described = True
    for alias, labels in required().items():
        if told := unset(alias):
            is_described = False
            fact, _, advice = told.partition(". ")
            yield error(fact, f"{advice}.")
            continue
        what = f"the database {alias!r} ({connections[alias].display_name})"
        taken = round_trip(partial(_ask, alias, "SELECT 1"))
        yield judge_round_trip(what, taken)
        yield from judge_clock(f"the database {alias!r}", partial(_clock, alias))
        for label in sorted(labels):
            yield _judge(examine(alias, label))
    for deciding in (True, False) if is_described else ():
        for tables in of_plugins(deciding=deciding):
            if tables.fault:
                yield _judge(tables)


def _judge(tables: Tables) -> Finding:
    if tables.fault:
        fact, _, advice = tables.fault.partition(". Run:")
        return error(fact, f"Run:{advice}")
    if tables.newer:
        return ok(
            f"the tables of {tables.app} in {tables.alias!r} are of a later version, which this one"
            " can work with during an update"
        )
    return ok(f"the tables of {tables.app} in {tables.alias!r} are there")


def _clock(alias: str) -> float | None:
    statement = _CLOCKS.get(connections[alias].vendor)
    return None if statement is None else float(_ask(alias, statement))


def _ask(alias: str, statement: str) -> float:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        answer: float = cursor.fetchone()[0]
        return answer
