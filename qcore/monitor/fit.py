"""Which workers a view shows where a terminal has too few rows for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from ..status import WorkerStatus


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """Return how many of the rows that each one wants it gets; together ``room``.

    Nobody gets nothing: the first row tells the most, and so does the line about the
    rest. Small ones get all that they want before large ones get more.
    """
    given = [0] * len(wanted)
    left = max(room, len(wanted))
    by_size = sorted(range(len(wanted)), key=lambda place: wanted[place])
    for done, place in enumerate(by_size):
        given[place] = min(wanted[place], left // (len(wanted) - done))
        left -= given[place]
    return given


def choose(
    workers: Sequence[WorkerStatus], rows: int
) -> tuple[list[WorkerStatus], str]:
    """Return the workers to show, by place, and a line about the others, or ``""``.

    Those are shown that have been in their task for the longest; the line takes one of
    the rows.
    """
    if len(workers) <= rows:
        return list(workers), ""
    by_age = sorted(workers, key=lambda one: (one.state == "idle", -(one.seconds or 0)))
    kept, rest = by_age[: max(rows - 1, 0)], by_age[max(rows - 1, 0) :]
    idle = sum(one.state == "idle" for one in rest)
    noun = "worker" if len(rest) == 1 else "workers"
    note = f"and {len(rest)} more {noun}, {idle} of them idle"
    return sorted(kept, key=lambda one: one.index), note
