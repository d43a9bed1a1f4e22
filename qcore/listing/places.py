"""One list of all tasks that can be listed, page by page.

Each page goes on where the last one has ended, in the place that it names. So a page far
down costs what the first one costs, and no task is shown twice because others came before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..pages import BadQuery
from . import finished, outbox, running, tracked
from .rows import Part, Row

if TYPE_CHECKING:
    from ..status import Snapshot
    from .query import Query

#: Tasks on one page, unless told otherwise.
SIZE = 50
_PLACES = {
    "running": running,
    "tracked": tracked,
    "outbox": outbox,
    "finished": finished,
}


def find(
    query: Query,
    after: str,
    clusters: Sequence[Snapshot] = (),
    *,
    size: int | None = None,
    attempt: Callable[[Callable[[], Part]], Part | None] | None = None,
) -> tuple[list[Row], str]:
    """Return the tasks of a page, and where the next page begins; "" where there is none.

    A page may have fewer tasks than ``size``, or none, and be followed by another one: of
    places with many tasks, each page looks at some hundred.

    Args:
        query: what is asked for.
        after: where the page begins; "" is the first one.
        clusters: those that run, for the tasks of their workers.
        size: tasks at most, apart from those that run; None: ``SIZE``.
        attempt: asks for the tracked tasks, and returns None where that cannot be done now.
            None: what the database raises goes to the caller.

    Raises:
        BadQuery: ``after`` is no place in the list.
    """
    most = SIZE if size is None else size
    place, _, key = after.partition(":")
    if after and place not in _PLACES:
        raise BadQuery("The address of this page of the list cannot be read.")
    rows: list[Row] = []
    names = list(_PLACES)
    for name in names[names.index(place) if after else 0 :]:
        begin, key = key, ""
        if not query.may_be(_PLACES[name].STATES):
            continue
        if name == "running":
            rows += running.find(clusters, query).rows
            continue
        if len(rows) >= most:
            return rows, f"{name}:"
        room = most - len(rows)
        part: Part | None
        if name == "outbox":
            part = outbox.find(query, begin, room)
        elif name == "finished":
            part = finished.find(query, begin, room)
        else:
            shown = {row.id for row in running.find(clusters, query).rows}
            ask = partial(tracked.find, query, begin, room, shown)
            part = ask() if attempt is None else attempt(ask)
        if part is None:
            continue
        rows += part.rows
        if part.further is not None:
            return rows, f"{name}:{part.further}"
    return rows, ""
