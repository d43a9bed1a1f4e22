"""Charts: what the table of minutes says, as numbers, and as lines in SVG."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from .models import Minute

#: Minutes that the charts show.
SPAN = 60
#: Minutes over which the pace is reckoned: short enough to show a change.
PACE = 5
_WIDTH, _HEIGHT = 240, 40


def minutes(now: float | None = None) -> dict[str, dict[int, Minute]]:
    """Return the rows of the last hour by queue and minute, with one query."""
    first = int((time.time() if now is None else now) // 60) - SPAN
    found: dict[str, dict[int, Minute]] = defaultdict(dict)
    for row in Minute.objects.filter(minute__gt=first):
        found[row.queue][row.minute] = row
    return dict(found)


def hour(rows: dict[int, Minute], now: float | None = None) -> dict[str, Any]:
    """Return the sums of the last hour and the series of its minutes."""
    last = int((time.time() if now is None else now) // 60)
    span = range(last - SPAN + 1, last + 1)
    found = [rows.get(minute) for minute in span]
    known = [row for row in found if row is not None]
    succeeded = sum(row.succeeded for row in known)
    failed = sum(row.failed for row in known)
    ended, begun = succeeded + failed, sum(row.begun for row in known)
    return {
        "succeeded": succeeded,
        "failed": failed,
        "ended_per_minute": sum(
            row.succeeded + row.failed for row in found[-PACE - 1 : -1] if row
        )
        / PACE,
        "begun_per_minute": sum(row.begun for row in found[-PACE - 1 : -1] if row)
        / PACE,
        "run_seconds": sum(row.run_seconds for row in known) / ended if ended else None,
        "wait_seconds": sum(row.wait_seconds for row in known) / begun
        if begun
        else None,
        "ended_series": [row.succeeded + row.failed if row else 0 for row in found],
        "failed_series": [row.failed if row else 0 for row in found],
        "run_series": [_mean(row, "run") for row in found],
        "wait_series": [_mean(row, "wait") for row in found],
    }


def _mean(row: Minute | None, which: str) -> float | None:
    """Return the mean of a minute; None where nothing has ended, or begun, in it."""
    if row is None:
        return None
    if which == "run":
        count, seconds = row.succeeded + row.failed, row.run_seconds
    else:
        count, seconds = row.begun, row.wait_seconds
    return seconds / count if count else None


def merged(queues: dict[str, dict[int, Minute]]) -> dict[int, Minute]:
    """Return the minutes of all queues together."""
    found: dict[int, Minute] = {}
    for rows in queues.values():
        for minute, row in rows.items():
            sums = found.setdefault(minute, Minute(minute=minute))
            for name in ("succeeded", "failed", "run_seconds", "begun", "wait_seconds"):
                setattr(sums, name, getattr(sums, name) + getattr(row, name))
    return found


def line(series: list[float | None]) -> dict[str, Any] | None:
    """Return the paths of a sparkline; None where there is nothing to draw.

    A minute that is not known is a gap.
    """
    known = [value for value in series if value is not None]
    if not known or not any(known):
        return None
    top = max(known)
    step = _WIDTH / max(1, len(series) - 1)
    parts: list[str] = []
    is_open = False
    for place, value in enumerate(series):
        if value is None:
            is_open = False
            continue
        x, y = place * step, _HEIGHT - value / top * (_HEIGHT - 2) - 1
        parts.append(f"{'L' if is_open else 'M'}{x:.1f} {y:.1f}")
        if not is_open and (place + 1 == len(series) or series[place + 1] is None):
            parts.append("h1")  # a single minute would be no line
        is_open = True
    return {"path": "".join(parts), "top": top, "width": _WIDTH, "height": _HEIGHT}
