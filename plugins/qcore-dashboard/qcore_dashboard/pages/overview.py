"""Overview: whether it runs, whether it keeps up, what fails, and why a task waits."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from qcore.masking import mask_url
from qcore.monitor.text import number, plural, seconds
from qcore.runtime import current

from .. import charts, live

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..live import Now

#: Seconds that a task may wait before the page says that work piles up.
LATE = 60.0


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document."""
    now = live.look()
    queues = [
        {"name": name, **live.sizes(name, now.problems)}
        for name in now.queues()[: live.MOST_QUEUES]
    ]
    rows = now.problems.attempt(charts.minutes)
    hour = None if rows is None else charts.hour(charts.merged(rows))
    if hour is not None and not any(rows or ()):
        hour = None  # nothing was counted: not the same as nothing has ended
    counted = hour or now.problems.attempt(_counted)
    busy = now.busy()
    totals = {
        "clusters": None if now.clusters is None else len(now.clusters),
        "busy": busy and busy[0],
        "workers": busy and busy[1],
        "waiting": _sum(one["waiting"] for one in queues),
        "oldest_seconds": max(
            (one["oldest_seconds"] for one in queues if one["oldest_seconds"]),
            default=None,
        ),
        "failed": counted and counted["failed"],
        "ended": counted and counted["succeeded"] + counted["failed"],
    }
    return {
        "project": current.conf.name,
        "totals": totals,
        "answers": [
            _runs(now, totals),
            _keeps_up(totals, hour),
            _fails(totals),
            _waits(now),
        ],
        "charts": _charts(hour),
        "hour": hour,
        "problems": now.problems,
    }


def _sum(values: Any) -> int | None:
    """Return a sum; None where one of the values is not known."""
    found = list(values)
    return None if any(value is None for value in found) else sum(found)


def _counted() -> dict[str, int] | None:
    """Return what the store counts of the last hour; None where it cannot."""
    store = current.store()
    if not store.supports_counts:
        return None
    tally = store.count(dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    return {"succeeded": tally.succeeded, "failed": tally.failed}


def _answer(question: str, state: str, text: str, page: str = "") -> dict[str, Any]:
    return {"question": question, "state": state, "text": text, "page": page}


def _runs(now: Now, totals: dict[str, Any]) -> dict[str, Any]:
    question = "Does it run?"
    if now.clusters is None:
        return _answer(question, "unknown", now.absence, "clusters")
    if not now.clusters:
        return _answer(question, "error", now.absence, "clusters")
    problems = [one.problem for one in now.clusters if one.problem]
    text = (
        f"{plural(len(now.clusters), 'cluster')} with"
        f" {plural(totals['workers'], 'worker')}; {totals['busy']:,} busy."
    )
    if problems:
        return _answer(
            question, "error", f"{text} {mask_url(str(problems[0]))}", "clusters"
        )
    return _answer(question, "ok", text, "clusters")


def _keeps_up(totals: dict[str, Any], hour: dict[str, Any] | None) -> dict[str, Any]:
    question = "Does it keep up?"
    waiting, oldest = totals["waiting"], totals["oldest_seconds"]
    if waiting is None:
        text = "How many tasks wait is not known: the broker cannot count them now."
        return _answer(question, "unknown", text, "queues")
    if not waiting:
        return _answer(question, "ok", "No task waits.", "queues")
    text = f"{plural(waiting, 'task')} {'waits' if waiting == 1 else 'wait'}"
    if oldest is not None:
        text += f"; the oldest for {seconds(oldest)}"
    pace = hour and hour["ended_per_minute"]
    if pace:
        text += f"; {seconds(waiting / pace * 60)} of work at this pace"
    is_late = oldest is not None and oldest > LATE
    return _answer(question, "warning" if is_late else "ok", f"{text}.", "queues")


def _fails(totals: dict[str, Any]) -> dict[str, Any]:
    question = "What fails?"
    failed, ended = totals["failed"], totals["ended"]
    if failed is None:
        text = "Not known: the result store cannot count its results."
        return _answer(question, "unknown", text, "dead")
    if not failed:
        text = f"Nothing: {number(ended)} ended in the last hour, and none failed."
        return _answer(question, "ok", text, "dead")
    text = f"{number(failed)} of {number(ended)} failed in the last hour."
    return _answer(question, "warning", text, "dead")


def _waits(now: Now) -> dict[str, Any]:
    question = "Why does this task wait?"
    if now.paused:
        names = ", ".join(now.paused)
        text = f"Paused: {names}. Type the id of a task to see its own reason."
        return _answer(question, "warning", text, "queues")
    text = "Type the id of a task."
    if now.paused is None:
        return _answer(question, "unknown", f"{text} Pauses are not known.", "tasks")
    return _answer(question, "ok", f"No queue is paused. {text}", "tasks")


def _charts(hour: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the charts of the last hour, the newest minute at the right."""
    if hour is None:
        return []
    words = (
        ("ended", "Tasks ended in a minute", "count"),
        ("failed", "Failed in a minute", "count"),
        ("run", "Run time", "seconds"),
        ("wait", "Wait before the first attempt", "seconds"),
    )
    return [
        {
            "title": title,
            "unit": unit,
            "line": charts.line(hour[f"{name}_series"]),
            "mean": hour.get(f"{name}_seconds"),
        }
        for name, title, unit in words
    ]
