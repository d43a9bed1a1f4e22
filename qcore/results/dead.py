"""Dead tasks: those that have failed for good, in groups of the same error."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..masking import mask_url
from .moments import moment

if TYPE_CHECKING:
    from .rows import Row


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """The dead tasks of one function that have failed with the same error."""

    func: str
    """Dotted path of the function."""
    fingerprint: str
    """Of the error: 12 hexadecimal digits."""
    count: int
    """Dead tasks in the group."""
    first: dt.datetime
    """When the first one of them failed for good."""
    last: dt.datetime
    """The same of the last one."""
    example: str
    """The id of one of them, the newest."""
    error: str
    """The first line of its error."""


def describe_group(
    group: DeadGroup, when: Callable[[dt.datetime], object]
) -> dict[str, Any]:
    """Return what documents say of a group: its columns, without secrets in the error.

    Args:
        group: of a store.
        when: how the document writes a moment.
    """
    return {
        "func": group.func,
        "fingerprint": group.fingerprint,
        "count": group.count,
        "first": when(group.first),
        "last": when(group.last),
        "example": group.example,
        "error": mask_url(group.error),
    }


def group_rows(rows: Iterable[Row]) -> list[DeadGroup]:
    """Return the groups of dead rows, the one with the latest failure first.

    Args:
        rows: of a store; those that are not dead are left out.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.is_dead and row.fingerprint is not None:
            found.setdefault((row.func, row.fingerprint), []).append(row)
    groups = [_group(key, its) for key, its in found.items()]
    return sorted(groups, key=lambda group: group.last, reverse=True)


def _group(key: tuple[str, str], rows: list[Row]) -> DeadGroup:
    newest = max(rows, key=lambda row: row.id)
    return DeadGroup(
        func=key[0],
        fingerprint=key[1],
        count=len(rows),
        first=moment(min(row.stopped for row in rows)),
        last=moment(max(row.stopped for row in rows)),
        example=newest.id,
        error=first_line_of(newest.value),
    )


def first_line_of(text: str) -> str:
    """Return the first line of the text of an error."""
    return text.partition("\n")[0]
