"""Pacing: new start times for tasks that wait for a rate which was raised.

Such a task is a row of the outbox that is due at its start time. Where the rate of its limit
is raised later, the rows of its key are brought forward, in the order in which they wait.
"""

from __future__ import annotations

from functools import partial

from qcore.brokers.tools import chunks
from qcore.runtime import current

from . import places
from .models import LimitKey
from .places import LATER, MOST
from .wanted import Rules, Terms


def replan(name: str) -> int:
    """Bring tasks forward that wait for the rate of a limit; return how many.

    Args:
        name: of the limit, whose numbers have changed. No task comes later than before: a
            task that comes too soon is refused, and gets another start time.
    """
    ledger = current.ledger
    assert ledger is not None
    marks = places.keys().filter(name=name, later__gt=0).order_by("digest")
    sooner = 0
    for mark in list(marks.values_list("digest", flat=True)):
        sooner += ledger.run(partial(_replan, mark))
    return sooner


def _replan(mark: str) -> int:
    places.begin_to_write()
    key = places.lock([mark]).get(mark)
    terms = None if key is None else Rules().terms(key.name)
    if key is None or terms is None:
        return 0  # only its tasks know the numbers
    ledger, now = current.ledger, places.now()
    assert ledger is not None
    rows = places.waiting().filter(digest=mark, kind=LATER).order_by("at", "id")
    delays: dict[str, float] = {}
    changed = []
    for row in rows:
        start = now + _wait(key, terms, len(delays), now)
        delays[row.task_id] = start - now
        if start < row.at:
            row.at = start
            changed.append(row)
    if not changed:
        return 0
    for part in chunks(changed, MOST):
        places.waiting().bulk_update(part, ["at"])
    key.next_start = now + _wait(key, terms, len(delays), now)
    places.write([key])
    return len(ledger.bring_forward(delays))


def _wait(key: LimitKey, terms: Terms, before: int, now: float) -> float:
    """Return the seconds until a task may start, behind so many others."""
    if terms.pace is None:
        return 0.0
    filled = key.tokens + max(0.0, now - key.filled) / terms.pace
    return max(0.0, before + 1 - min(float(terms.burst), filled)) * terms.pace
