"""Tasks that have ended an attempt: the table of results, from the newest on."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.db.models.functions import Left

from ..envelope import Outcome
from ..masking import mask_url
from ..models import SHORT, Task
from ..models.tables import RESULTS, kept_elsewhere
from ..pages import BadQuery
from ..results.moments import moment
from ..tasks.ended import is_over
from ..tasks.state import State, of_outcome
from .narrow import narrow
from .rows import Part, Row

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from .query import Query

#: Rows that are read at once, and how often that is done for one page: a search that fits
#: few rows goes on from there.
CHUNK, ROUNDS = 200, 5

_TRIED = frozenset(map(str, (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CRASH)))
_LIVE = frozenset(
    map(
        str,
        (
            State.SCHEDULED,
            State.WAITING,
            State.PARKED,
            State.RUNNING,
            State.SUSPENDED,
        ),
    )
)
STATES = tuple(str(state) for state in State if str(state) not in _LIVE)

_COLUMNS = (
    *("id", "name", "func", "group", "cluster", "started", "stopped", "success"),
    *("outcome", "attempt_count", "options", "final", "fingerprint"),
)


def elsewhere() -> str | None:
    """Return who keeps the results in place of the table; None where nobody does."""
    return kept_elsewhere(RESULTS)


def find(query: Query, after: str, limit: int) -> Part:
    """Return tasks of the table of results, the newest first."""
    if elsewhere():
        return Part([])
    place = _read(after) if after else None
    found: list[Row] = []
    for _ in range(ROUNDS):
        chunk = _chunk(query, place)
        for stored in chunk:
            if len(found) == limit:
                return Part(found, _write(place))
            place = (stored.stopped, stored.pk)
            row = row_of(stored)
            if query.fits(row):
                found.append(row)
        if len(chunk) < CHUNK:
            return Part(found)
    return Part(found, _write(place))


def _chunk(query: Query, place: tuple[dt.datetime, str] | None) -> list[Any]:
    """Return the next rows; each of the two indexes of successes and failures is read.

    Of one group, one name or one id there is an index that has fewer rows.
    """
    if query.id is not None or any(
        pattern is not None and pattern.parts is None
        for pattern in (query.group, query.name)
    ):
        return _some(Task.objects.all(), query, place)
    rows: list[Any] = []
    if query.may_be([str(State.SUCCEEDED)]):
        rows += _some(Task.objects.filter(success__in=[True]), query, place)
    if not query.states or query.states - {str(State.SUCCEEDED)}:
        rows += _some(Task.objects.filter(success__in=[False]), query, place)
    rows.sort(key=lambda row: (row.stopped, row.pk), reverse=True)
    return rows[:CHUNK]


def _some(
    rows: QuerySet[Task], query: Query, place: tuple[dt.datetime, str] | None
) -> list[Any]:
    if place is not None:
        stopped, pk = place
        # the first condition gives the index a beginning, the second the exact place
        rows = rows.filter(stopped__lte=stopped).filter(
            Q(stopped__lt=stopped) | Q(id__lt=pk)
        )
    if query.id is not None:
        rows = rows.filter(id=query.id)
    if query.since is not None:
        rows = rows.filter(stopped__gte=moment(query.since))
    if query.until is not None:
        rows = rows.filter(stopped__lte=moment(query.until))
    for column in ("func", "name", "group"):
        rows = narrow(rows, column, getattr(query, column))
    rows = narrow(rows, "cluster", query.queue)
    rows = rows.annotate(beginning=Left("value", SHORT)).only(*_COLUMNS)
    return list(rows.order_by("-stopped", "-id")[:CHUNK])


def row_of(stored: Any) -> Row:
    """Return the row of a stored result, with ``beginning``: the first of its value."""
    error = None
    if not stored.success:
        error = mask_url(stored.beginning.partition("\n")[0])
    return Row(
        id=stored.pk,
        state=state_of(stored),
        func=stored.func,
        name=stored.name,
        group=stored.group,
        queue=stored.cluster,
        at=stored.stopped.timestamp(),
        event="ended",
        seconds=stored.time_taken(),
        attempts=stored.attempt_count,
        error=error,
    )


def state_of(stored: Any) -> str:
    """Return the state of a task whose last attempt has ended."""
    if stored.success:
        return str(State.SUCCEEDED)
    if stored.outcome not in _TRIED:
        return str(of_outcome(stored.outcome))
    return str(State.DEAD if is_over(stored) else State.FAILED)


def _write(place: tuple[dt.datetime, str] | None) -> str | None:
    return None if place is None else f"{place[0].isoformat()}~{place[1]}"


def _read(text: str) -> tuple[dt.datetime, str]:
    stopped, _, pk = text.partition("~")
    try:
        return dt.datetime.fromisoformat(stopped), pk[:32]
    except ValueError as error:
        raise BadQuery(
            "The address of this page of the list cannot be read."
        ) from error
