"""Queues: what waits in each, how fast it goes, and whether it is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcore.errors import QcoreError
from qcore.ledger.place import is_ready
from qcore.ledger.survey import survey
from qcore.pages import BadQuery
from qcore.runtime import current
from qcore.tasks import control

from .. import charts, live

if TYPE_CHECKING:
    from django.http import HttpRequest


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document."""
    now = live.look()
    outbox = now.problems.attempt(_outbox)
    minutes = now.problems.attempt(charts.minutes)
    names = sorted({*now.queues(), *(outbox or ())}, key=_own_first)
    shown = names[: live.MOST_QUEUES]
    rows = []
    for name in shown:
        sizes = live.sizes(name, now.problems)
        busy = now.busy(name)
        own = (minutes or {}).get(name)
        hour = charts.hour(own) if own else None
        rows.append(
            {
                "name": name,
                **sizes,
                "running": busy and busy[0],
                "workers": busy and busy[1],
                "scheduled": None if outbox is None else outbox.get(name, 0),
                "in_per_minute": hour and hour["begun_per_minute"],
                "out_per_minute": hour and hour["ended_per_minute"],
                "drain_seconds": _drain(sizes["waiting"], hour),
                "paused": live.pause_of((now.paused or {}).get(name)),
            }
        )
    return {
        "queues": rows,
        "more": len(names) - len(shown),
        "can_pause": now.paused is not None,
        "is_counted": minutes is None or bool(minutes),
        "problems": now.problems,
    }


def _own_first(name: str) -> tuple[bool, str]:
    return (name != current.conf.queue, name)


def _outbox() -> dict[str, int] | None:
    """Return how many tasks of each queue are in the outbox; None: there is none."""
    outbox = current.outbox
    if outbox is None or not is_ready(outbox.database):
        return None
    return {one.queue: one.rows for one in survey(outbox.database)}


def _drain(waiting: int | None, hour: dict[str, Any] | None) -> float | None:
    """Return the seconds until the queue is empty at this pace; None: not known."""
    if waiting == 0:
        return 0.0
    if waiting is None or not hour or not hour["ended_per_minute"]:
        return None
    return float(waiting / hour["ended_per_minute"] * 60)


def pause(request: HttpRequest) -> str:
    """Pause a queue, in the name of the user."""
    name, reason = _queue(request), request.POST.get("reason", "").strip()
    before = {one.queue for one in control.paused()}
    try:
        found = control.pause(name, reason=reason, by=request.user.get_username())
    except QcoreError as error:
        raise BadQuery(str(error)) from error
    if name in before:
        by = f" by {found.by}" if found.by else ""
        return f"{name} was paused{by} already."
    return f"{name} is paused: tasks that run go on, and no other begins."


def resume(request: HttpRequest) -> str:
    """Resume a queue."""
    name = _queue(request)
    if control.resume(name) is None:
        return f"{name} was not paused."
    return f"{name} is resumed."


def _queue(request: HttpRequest) -> str:
    name = request.POST.get("queue", "")
    try:
        return control.checked_queue(name)
    except QcoreError as error:
        raise BadQuery(str(error)) from error
