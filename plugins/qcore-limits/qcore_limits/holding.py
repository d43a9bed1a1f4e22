"""Holding: renews the places of tasks that run, frees them, and sweeps those left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from qcore.brokers.tools import chunks
from qcore.runtime import current

from . import places
from .buckets import Buckets
from .places import CALLED, KEPT, LATER, MOST, PARKED, TERM
from .wanted import Rules, has_limits

if TYPE_CHECKING:
    from qcore import Claim, Settled

    from .models import Hold, LimitKey, WaitingTask
    from .places import Held

#: Seconds between two sweeps, and rows that one of them looks at, of each kind.
EVERY, SWEPT = 15.0, 500
#: Seconds after which a task that was to come is not waited for, and those after which a key
#: is forgotten that nobody uses.
LOST, UNUSED = 86_400.0, 30 * 86_400.0


def renew(claims: Sequence[Claim], now: float) -> list[str]:
    """Renew the holds of tasks that run; return the ids of those that have none any more.

    What was not renewed in time is not renewed: another task may have the place.
    """
    starts = {claim.task.id: claim.start for claim in claims if has_limits(claim.task)}
    if not starts:
        return []
    own = {
        row.id: row.task_id
        for row in places.holds_of(starts)
        if row.start == starts[row.task_id] and row.ends > now
    }
    for part in chunks(sorted(id for id in own if id is not None), MOST):
        places.holds().filter(pk__in=part).update(
            until=now + TERM, ends=now + TERM + KEPT
        )
    return sorted(set(starts).difference(own.values()))


def free(settled: Sequence[Settled], now: float) -> None:
    """Free the places of tasks that have ended or come again, and fill them."""
    some = {one.task.id: one for one in settled if has_limits(one.task)}
    if not some:
        return
    over = [row for row in places.holds_of(some) if _is_over(row, some[row.task_id])]
    final = [id for id, one in some.items() if one.final]
    left = places.lines_of(final)
    # an older copy of them has ended: what is parked is sent, and dropped at its claim
    parked = [row.task_id for row in left if row.kind == PARKED]
    if parked and current.ledger is not None:
        current.ledger.wake("limits", parked)
    unmade = [row for row in over if row.start and some[row.task_id].unstarted]
    _clear(over, left, unmade, now)


def _is_over(row: Held, one: Settled) -> bool:
    # what is reserved for a task that has ended is free; what another start of it holds is not
    return row.start == one.start if row.start else one.final


def _clear(
    over: Sequence[Held],
    left: Sequence[WaitingTask],
    unmade: Sequence[Held],
    now: float,
) -> None:
    """Delete holds and tasks that wait, and fill the places that are free then."""
    marks = {row.digest for row in over} | {row.digest for row in left}
    if not marks:
        return
    locked = places.lock(marks)
    places.free(row.id for row in over)
    for row in left:
        places.count_out(locked.get(row.digest), row)
    places.leave(row.pk for row in left)
    before = {mark: (key.parked, key.later) for mark, key in locked.items()}
    # they have not begun: their starts are left
    Buckets(locked, now).return_unmade(Counter(hold.digest for hold in unmade))
    places.fill(locked, Rules(), now)
    changed = {row.digest for row in left} | {row.digest for row in unmade}
    places.write(
        [
            key
            for mark, key in sorted(locked.items())
            if mark in changed or (key.parked, key.later) != before[mark]
        ]
    )


# -- the sweep -----------------------------------------------------------------------------
def sweep(now: float) -> float:
    """Free what nobody has freed; return the seconds until the next sweep."""
    ledger = current.ledger
    assert ledger is not None
    found = list(places.holds().filter(ends__lte=now).order_by("ends")[:SWEPT])
    late = list(
        places.waiting()
        .filter(kind__in=(CALLED, LATER), at__lte=now - LOST)
        .order_by("at")[:SWEPT]
    )
    stuck = _stuck(now)
    if astray := _astray():
        ledger.run(partial(ledger.wake, "limits", astray))
    if found or late or stuck:
        ledger.run(lambda: _sweep(now, found, late, stuck))
    old = places.keys().filter(used__lte=now - UNUSED, parked=0, later=0)
    marks = list(old.order_by("used").values_list("digest", flat=True)[:SWEPT])
    for part in chunks(marks, MOST):
        busy = set(
            places.holds().filter(digest__in=part).values_list("digest", flat=True)
        )
        old.filter(digest__in=[mark for mark in part if mark not in busy]).delete()
    return EVERY


class _Page:
    """How far the sweep of this process has looked through the parked tasks."""

    last = 0


def _astray() -> list[str]:
    """Return tasks that are parked and in no line: nobody else would ever wake them.

    Each sweep looks at one page. Both rows are written in one transaction, so only a row
    that somebody has deleted is missing, or one of a backup.
    """
    ledger = current.ledger
    assert ledger is not None
    page = ledger.parked("limits", after=_Page.last, limit=SWEPT)
    _Page.last = page[-1][0] if len(page) == SWEPT else 0
    ids = [id for _, id in page]
    known = {row.task_id for row in places.lines_of(ids)}
    return [id for id in ids if id not in known]


def _stuck(now: float) -> list[str]:
    """Return keys under which tasks are parked, and a place is free."""
    from django.db.models import Count, F, OuterRef, Q, Subquery
    from django.db.models.functions import Coalesce

    held = places.holds().filter(digest=OuterRef("digest"), ends__gt=now).order_by()
    counts = held.values("digest").annotate(count=Count("id")).values("count")
    rows = places.keys().filter(parked__gt=0).alias(taken=Coalesce(Subquery(counts), 0))
    rows = rows.filter(Q(concurrency=None) | Q(taken__lt=F("concurrency")))
    return list(rows.values_list("digest", flat=True)[:MOST])


def _sweep(
    now: float,
    found: Sequence[Hold],
    late: Sequence[WaitingTask],
    stuck: Sequence[str],
) -> None:
    places.begin_to_write()
    marks = {row.digest for row in found} | {row.digest for row in late}
    locked = places.lock({*marks, *stuck})
    # renewed, taken or answered since, perhaps
    ours = [row.pk for row in found]
    left = [row.pk for row in late]
    for part in chunks(sorted(ours), MOST):
        places.holds().filter(pk__in=part, ends__lte=now).delete()
    for part in chunks(sorted(left), MOST):
        for row in places.waiting().filter(
            pk__in=part, kind__in=(CALLED, LATER), at__lte=now - LOST
        ):
            places.count_out(locked.get(row.digest), row)
            places.leave([row.pk])
    places.fill(locked, Rules(), now)
    places.write([key for _, key in sorted(locked.items())])


def refill(name: str, now: float) -> int:
    """Wake what may run since a limit was changed; return how many keys were looked at."""
    marks = list(
        places.keys().filter(name=name, parked__gt=0).values_list("digest", flat=True)
    )
    ledger = current.ledger
    assert ledger is not None

    def run(part: Sequence[str]) -> None:
        places.begin_to_write()
        locked: dict[str, LimitKey] = places.lock(part)
        places.fill(locked, Rules(), now)
        places.write([key for _, key in sorted(locked.items())])

    for part in chunks(marks, MOST):
        ledger.run(partial(run, part))
    return len(marks)
