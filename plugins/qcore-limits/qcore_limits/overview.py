"""Overview: the limits of a project and the numbers of their keys, for people.

The verb and the page of the dashboard show the same. The number of statements does not grow
with the number of limits; with the keys it grows by two for each hundred.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import Count, F, Min, Q, Window
from django.db.models.functions import RowNumber

from qcore.brokers.tools import chunks
from qcore.runtime import current

from .models import LimitChange
from .places import MOST, PARKED, database, holds, keys, now, waiting
from .setting import declared

if TYPE_CHECKING:
    from .limit import Limit
    from .models import LimitKey

#: Keys with most waiting tasks come first.
FIRST = ("-parked", "-later", "-used", "digest")


@dataclasses.dataclass(frozen=True, slots=True)
class LimitInUse:
    """A limit that the settings declare, that somebody has set, or that a task has named."""

    name: str
    limit: Limit | None
    """As the settings declare it."""
    change: LimitChange | None
    """What somebody has set; it wins over the settings."""
    key_count: int

    def numbers(self) -> dict[str, Any]:
        """Return concurrency, rate and burst that are in force; None: no task is held up."""
        shown = self.change or self.limit
        return {
            "concurrency": getattr(shown, "concurrency", None),
            "rate": getattr(shown, "rate", None) or None,
            "burst": getattr(shown, "burst", None),
        }

    def declared(self) -> dict[str, Any] | None:
        """Return what the settings say; None: nothing."""
        return None if self.limit is None else dataclasses.asdict(self.limit)


@dataclasses.dataclass(frozen=True, slots=True)
class KeyInUse:
    """A key of a limit, and how many tasks run and wait under it."""

    row: LimitKey
    held: int
    reserved: int
    oldest_seconds: float | None
    """How long the first parked task has waited; None: no task is parked."""

    def numbers(self) -> dict[str, Any]:
        """Return how many tasks run and wait, and how long the first one has waited."""
        return {
            "held": self.held,
            "reserved": self.reserved,
            "parked": self.row.parked,
            "later": self.row.later,
            "oldest_seconds": self.oldest_seconds,
        }


def limits_in_use() -> list[LimitInUse]:
    """Return all limits, by their names; it takes two statements."""
    settings = declared(current.conf)
    changes = {row.name: row for row in LimitChange.objects.using(database())}
    counts = dict(keys().order_by().values_list("name").annotate(count=Count("digest")))
    return [
        LimitInUse(name, settings.get(name), changes.get(name), counts.get(name, 0))
        for name in sorted({*settings, *changes, *counts})
    ]


def first_keys(names: Sequence[str], most: int) -> list[LimitKey]:
    """Return the first keys of each of some limits.

    Args:
        names: of the limits.
        most: keys of each limit.
    """
    order = [
        F(word.removeprefix("-")).desc() if word[0] == "-" else F(word).asc()
        for word in FIRST
    ]
    place = Window(RowNumber(), partition_by="name", order_by=order)
    return [
        row
        for part in chunks(list(names), MOST)
        for row in keys()
        .filter(name__in=part)
        .annotate(place=place)
        .filter(place__lte=most)
        .order_by("name", *FIRST)
    ]


def keys_in_use(rows: Sequence[LimitKey]) -> list[KeyInUse]:
    """Return the numbers of some keys, in the order of the keys."""
    moment = now()
    held: dict[str, tuple[int, int]] = {}
    oldest: dict[str, float] = {}
    for part in chunks([row.digest for row in rows], MOST):
        found = (
            holds()
            .filter(digest__in=part, ends__gt=moment)
            .order_by()
            .values_list("digest")
            .annotate(
                running=Count("pk", filter=Q(start__gt=0)),
                reserved=Count("pk", filter=Q(start=0)),
            )
        )
        held |= {mark: (running, reserved) for mark, running, reserved in found}
        parked = waiting().filter(digest__in=part, kind=PARKED).order_by()
        oldest |= dict(parked.values_list("digest").annotate(first=Min("since")))
    return [
        KeyInUse(
            row,
            *held.get(row.digest, (0, 0)),
            max(0.0, moment - oldest[row.digest]) if row.digest in oldest else None,
        )
        for row in rows
    ]
