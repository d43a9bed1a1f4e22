"""The page of the dashboard: each limit, and what is held and parked under its keys.

A key that a template has made holds arguments of its task, so it is shown to those alone who
may see arguments.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Min, Q

from qcore.admin.base import may_see_arguments
from qcore.masking import mask_url
from qcore.printable import printable
from qcore.runtime import current

from .models import LimitChange
from .places import PARKED, database, holds, keys, now, waiting
from .setting import declared

if TYPE_CHECKING:
    from django.http import HttpRequest

    from .models import LimitKey

#: Keys that are shown, those with most waiting tasks first. SQLite before 3.32 takes 999
#: parameters.
SIZE = 100


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document; it takes five statements, whatever there is."""
    rows = list(keys().order_by("-parked", "-later", "-used", "digest")[: SIZE + 1])
    may_see = may_see_arguments(request)
    return {
        "limits": _limits(
            set(keys().order_by().values_list("name", flat=True).distinct())
        ),
        "keys": _keys(rows[:SIZE], may_see=may_see),
        "are_keys_shown": may_see,
        "has_more": len(rows) > SIZE,
    }


def _limits(used: set[str]) -> list[dict[str, Any]]:
    """Return the limits of the settings, those that somebody has set, and those in use."""
    settings = declared(current.conf)
    changes = {row.name: row for row in LimitChange.objects.using(database())}
    found = []
    for name in sorted({*settings, *changes, *used}):
        change, limit = changes.get(name), settings.get(name)
        shown: Any = change or limit
        found.append(
            {
                "name": printable(name),
                "concurrency": getattr(shown, "concurrency", None),
                "rate": getattr(shown, "rate", None) or None,
                "burst": getattr(shown, "burst", None),
                "declared": None if limit is None else dataclasses.asdict(limit),
                "set_at": None if change is None else change.changed,
                "set_by": None if change is None else printable(change.by) or None,
            }
        )
    return found


def _keys(rows: list[LimitKey], *, may_see: bool) -> list[dict[str, Any]]:
    moment, digests = now(), [row.digest for row in rows]
    held = {
        digest: (running, reserved)
        for digest, running, reserved in holds()
        .filter(digest__in=digests, ends__gt=moment)
        .order_by()
        .values_list("digest")
        .annotate(
            running=Count("pk", filter=Q(start__gt=0)),
            reserved=Count("pk", filter=Q(start=0)),
        )
    }
    parked = waiting().filter(digest__in=digests, kind=PARKED).order_by()
    oldest = dict(parked.values_list("digest").annotate(first=Min("since")))
    return [
        {
            "limit": printable(row.name),
            "key": printable(mask_url(row.label)) if may_see else None,
            "digest": row.digest,
            "held": held.get(row.digest, (0, 0))[0],
            "reserved": held.get(row.digest, (0, 0))[1],
            "parked": row.parked,
            "later": row.later,
            "oldest_seconds": max(0.0, moment - oldest[row.digest])
            if row.digest in oldest
            else None,
        }
        for row in rows
    ]
