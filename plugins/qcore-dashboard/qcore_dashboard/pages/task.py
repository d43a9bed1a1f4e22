"""Task: what has happened to one task, and why it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import router, transaction
from django.http import Http404

from qcore.admin.base import may_see_arguments
from qcore.admin.resubmit import resubmit
from qcore.masking import mask_url
from qcore.models import Task
from qcore.models.tables import RESULTS, kept_elsewhere
from qcore.pages import BadQuery
from qcore.results import content
from qcore.runtime import current
from qcore.tasks import control
from qcore.tasks.state import State

from .. import live, sighting
from ..reasons import reasons
from ..sighting import Sighting

if TYPE_CHECKING:
    from django.http import HttpRequest

#: What the timeline says of a row of the outbox.
_WAITS_AS: dict[State | None, str] = {
    State.PARKED: "parked, until a plugin wakes it",
    State.SUSPENDED: "suspended, and goes on then",
}


#: Characters of an argument, a result or a traceback that the page shows.
SHOWN = 20_000
_DIGITS = frozenset("0123456789abcdef")


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document of the task whose id is the rest of the address."""
    task_id = rest.strip("/")
    if not _is_id(task_id):
        raise Http404
    now = live.look()
    seen = now.problems.attempt(lambda: sighting.of(task_id, now)) or Sighting(task_id)
    sizes = live.sizes(seen.queue or current.conf.queue, now.problems)
    may_see = may_see_arguments(request)
    return {
        "id": task_id,
        "state": seen.state,
        "is_over": seen.is_over,
        "can_be_cancelled": not seen.is_over,
        "can_be_sent_again": isinstance(seen.record, Task),
        "func": seen.func,
        "name": seen.name,
        "group": getattr(seen.record, "group", None),
        "queue": seen.queue,
        "outcome": getattr(seen.record, "outcome", None),
        "attempts": getattr(seen.record, "attempt_count", None),
        "progress": _progress(seen),
        "hook": getattr(seen.record, "hook", None),
        "timeline": _timeline(seen),
        "why": reasons(seen, now, sizes),
        **_texts(seen, may_see=may_see),
        "problems": now.problems,
    }


def _is_id(text: str) -> bool:
    return len(text) == 32 and set(text) <= _DIGITS


def _texts(seen: Sighting, *, may_see: bool) -> dict[str, Any]:
    """Return arguments, result and error; None where they are not known, or hidden."""
    record = seen.record
    found: dict[str, Any] = dict.fromkeys(("args", "kwargs", "result", "error"))
    found["hides_arguments"] = not may_see
    if isinstance(record, Task):  # a record of another store has values, and no texts
        value = _clip(content.show(record.value, record.value_content, masked=True))
        found["result" if record.success else "error"] = value
    elif record is not None and not record.success:
        found["error"] = _clip(mask_url(str(record.result)))
    if may_see and (call := seen.call) is not None:
        found["args"] = _clip(content.show_part(*call, 0))
        found["kwargs"] = _clip(content.show_part(*call, 1))
    return found


def _clip(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _progress(seen: Sighting) -> dict[str, Any] | None:
    told = None if seen.worker is None else seen.worker.progress
    if told is None:
        return None
    return {
        "done": told.done,
        "total": told.total,
        "share": told.share,
        "note": mask_url(told.note),
        "at": told.at,
    }


def _timeline(seen: Sighting) -> list[dict[str, Any]]:
    """Return what has happened and what will, the oldest first."""
    events: list[dict[str, Any]] = []

    def note(at: float | None, text: str, seconds: float | None = None) -> None:
        events.append({"at": at, "text": text, "seconds": seconds})

    record, tracked = seen.record, seen.tracked
    if record is not None:
        sent, started = record.enqueued.timestamp(), record.started.timestamp()
        which = f"attempt {record.attempt_count} " if record.attempt_count > 1 else ""
        note(sent, "sent")
        note(started, f"{which}began", max(0.0, started - sent))
        stopped = record.stopped.timestamp()
        note(stopped, f"{which}ended: {record.outcome}", record.time_taken())
        if seen.state == State.DEAD:
            note(stopped, "dead: it is not tried again")
    elif seen.sent is not None and tracked is None:
        note(seen.sent.created, "made")
    elif tracked is not None:
        note(tracked.enqueued, "sent")
        for at, text in (
            (tracked.run_after, "may begin"),
            (tracked.started, "first attempt began"),
            (tracked.finished, f"ended: {tracked.state}"),
        ):
            if at is not None:
                note(at, text)
    if seen.worker is not None and seen.worker.seconds is not None:
        note(seen.told_at - seen.worker.seconds, "began, and runs")
    if seen.due is not None:
        due = seen.due[0]
        note(due, _WAITS_AS.get(seen.place, "to be sent"))
    return sorted(events, key=lambda one: (one["at"] is None, one["at"] or 0.0))


def cancel(request: HttpRequest) -> str:
    """Ask that a task does not run, or runs no further."""
    task_id = _asked(request)
    word = control.cancel(task_id)[task_id]
    if word == "ended":
        return f"Task {task_id[-8:]} has ended already; nothing was cancelled."
    return f"Task {task_id[-8:]} is marked as cancelled; it was {word}."


def send_again(request: HttpRequest) -> str:
    """Send the call of a stored result again; the result of a failure is deleted."""
    task_id = _asked(request)
    new_id = again(task_id)
    if new_id is None:
        return f"Task {task_id[-8:]} is not stored any more: it was sent again, or deleted."
    return f"Task {task_id[-8:]} was sent again as {new_id}."


def again(task_id: str) -> str | None:
    """Send a stored task again; None where its result is gone.

    Of two people who press the button, one takes the row of a failure away, and the other
    finds none.
    """
    if kept_elsewhere(RESULTS):
        raise BadQuery("The results are not kept in the database.")
    database = router.db_for_write(Task)
    with transaction.atomic(database):
        rows = Task.objects.using(database).filter(pk=task_id)
        row = rows.first()
        if row is None:
            return None
        if not row.success and not rows.filter(success=False).delete()[0]:
            return None
        return resubmit(row)


def _asked(request: HttpRequest) -> str:
    task_id = request.POST.get("id", "")
    if not _is_id(task_id):
        raise BadQuery(
            f"{mask_url(task_id[:40])!r} is no id of a task: 32 hexadecimal digits."
        )
    return task_id
