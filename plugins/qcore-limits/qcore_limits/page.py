"""The page of the dashboard: each limit, and what is held and parked under its keys.

A key that a template has made holds arguments of its task, so it is shown to those alone who
may see arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcore.admin.base import may_see_arguments
from qcore.masking import mask_url
from qcore.printable import printable

from .overview import FIRST, KeyInUse, LimitInUse, keys_in_use, limits_in_use
from .places import keys

if TYPE_CHECKING:
    from django.http import HttpRequest

#: Keys that are shown, those with most waiting tasks first. SQLite before 3.32 takes 999
#: parameters.
SIZE = 100


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document; it takes five statements, whatever there is."""
    rows = list(keys().order_by(*FIRST)[: SIZE + 1])
    may_see = may_see_arguments(request)
    return {
        "limits": [_limit(one) for one in limits_in_use()],
        "keys": [_key(one, may_see=may_see) for one in keys_in_use(rows[:SIZE])],
        "are_keys_shown": may_see,
        "has_more": len(rows) > SIZE,
    }


def _limit(one: LimitInUse) -> dict[str, Any]:
    change = one.change
    return {
        "name": printable(one.name),
        **one.numbers(),
        "declared": one.declared(),
        "set_at": None if change is None else change.changed,
        "set_by": None if change is None else printable(change.by) or None,
    }


def _key(one: KeyInUse, *, may_see: bool) -> dict[str, Any]:
    return {
        "limit": printable(one.row.name),
        "key": printable(mask_url(one.row.label)) if may_see else None,
        "digest": one.row.digest,
        **one.numbers(),
    }
