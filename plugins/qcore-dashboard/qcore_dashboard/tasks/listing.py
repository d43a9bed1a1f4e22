"""One list of all tasks that can be listed, page by page.

Each page goes on where the last one has ended, in the place that it names. So a page far
down costs what the first one costs, and no task is shown twice because others came before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore.pages import BadQuery

from .. import live
from . import finished, outbox, running, tracked
from .rows import Row

if TYPE_CHECKING:
    from ..live import Now
    from .query import Query

#: Tasks on one page.
SIZE = 50
_PLACES = ("live", "outbox", "finished")


def find(query: Query, after: str, now: Now | None = None) -> tuple[list[Row], str]:
    """Return the tasks of a page, and where the next page begins; "" where there is none.

    Args:
        query: what is asked for.
        after: where the page begins; "" is the first one.
        now: the clusters; None: they are asked.

    Raises:
        BadQuery: ``after`` is no place in the list.
    """
    place, _, key = after.partition(":")
    if after and place not in _PLACES:
        raise BadQuery("The address of this page of the list cannot be read.")
    rows: list[Row] = []
    for name in _PLACES[_PLACES.index(place) if after else 0 :]:
        begin, key = key, ""
        if name == "live":
            rows += _live(query, now or live.look())
            continue
        wanted = finished.STATES if name == "finished" else outbox.STATES
        if not query.may_be(wanted):
            continue
        if len(rows) >= SIZE:
            return rows, f"{name}:"
        module = finished if name == "finished" else outbox
        part = module.find(query, begin, SIZE - len(rows))
        rows += part.rows
        if part.further is not None:
            return rows, f"{name}:{part.further}"
    return rows, ""


def _live(query: Query, now: Now) -> list[Row]:
    """Return what runs and what is tracked: some hundred at most, so on the first page."""
    rows: list[Row] = []
    if query.may_be(running.STATES):
        rows = running.find(now.clusters or [], query).rows
    if query.may_be(tracked.STATES):
        ids = {row.id for row in rows}
        found = now.problems.attempt(lambda: tracked.find(query, ids))
        rows += found.rows if found else []
    return rows
