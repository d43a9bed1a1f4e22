"""Pacing: brings tasks forward that wait under a limit whose numbers were raised.

`qcore limits set` does so at once. What the settings say is known to new clusters alone: each
looks once, in its first sweep.

A task that waits for its start is a row of the outbox that is due at its start time. Where the rate of its limit
is raised later, the rows of its key are brought forward, in the order in which they wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from qcore.brokers.tools import chunks
from qcore.runtime import current

from . import places
from .buckets import Buckets
from .holding import EVERY, refill
from .limit import Limit
from .places import LATER, MOST
from .setting import declared
from .wanted import Rules, Terms

#: What two numbers may differ by that mean the same start, in seconds.
_NEARLY = 1e-3


class _Heeded:
    """The limits of the settings that this process has looked at."""

    limits: Mapping[str, Limit] | None = None


def heed_settings(now: float) -> float:
    """Bring tasks forward that wait under what the settings have declared before.

    Nobody knows what that was: so each limit is looked at. Tasks whose starts do not
    change, and places that are taken, stay as they are.

    Args:
        now: by the clock of the database.

    Returns:
        Seconds until the next look.
    """
    limits, ledger = declared(current.conf), current.ledger
    assert ledger is not None
    if limits != _Heeded.limits:

        def look(name: str) -> None:
            refill(name, now)
            replan(name)

        ledger.each(sorted(limits), look)
        _Heeded.limits = limits
    return EVERY


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
    buckets = Buckets({mark: key}, now)
    buckets.draw([(mark, terms)], takes=False)
    tokens = buckets.tokens(mark)
    delays: dict[str, float] = {}
    changed = []
    for row in rows:
        start = now + _wait(tokens, terms, len(delays))
        delays[row.task_id] = start - now
        if start < row.at - _NEARLY:
            row.at = start
            changed.append(row)
    if not changed:
        return 0
    for part in chunks(changed, MOST):
        places.waiting().bulk_update(part, ["at"])
    key.next_start = now + _wait(tokens, terms, len(delays))
    places.write([key])
    return len(ledger.bring_forward(delays))


def _wait(tokens: float, terms: Terms, before: int) -> float:
    """Return the seconds until a task may start, behind so many others."""
    if terms.pace is None:
        return 0.0
    return max(0.0, before + 1 - tokens) * terms.pace
