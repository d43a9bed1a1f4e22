"""Runs: the newest durable tasks, and the timeline of one."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.http import Http404

from qcore.envelope import Outcome
from qcore.errors import CallError, did_you_mean, sentence
from qcore.pages import Ask, BadQuery
from qcore.printable import printable
from qcore.tasks.control import cancel as cancel_task

from ..option import is_id
from ..steps.resuming import resume as resume_run
from ..steps.status import STATES, find, list_runs, timeline
from .asked import newest_of, posted_id, start_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..steps.status import RunStatus, StepStatus

#: Runs in the list, and steps of one, on a page.
SIZE = 50
_WHAT = "a durable task"


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document: the newest runs, or one with its timeline."""
    if not rest:
        return _list(request)
    found = find(rest) if is_id(rest) else None
    if found is None:
        raise Http404
    first = start_of(request)
    steps = list(islice(timeline(rest), first, first + SIZE + 1))
    is_over = found.ended is not None
    can_be_resumed = is_over and found.state != Outcome.SUCCESS
    return {
        "run": _run(found),
        "timeline": [_step(one, can_be_resumed=can_be_resumed) for one in steps[:SIZE]],
        "can_be_cancelled": not is_over,
        "can_be_resumed": can_be_resumed,
        "is_first": not first,
        "next": first + SIZE if len(steps) > SIZE else None,
    }


def _list(request: HttpRequest) -> dict[str, Any]:
    state = request.GET.get("state", "")
    if state and state not in STATES:
        near = did_you_mean(state, STATES)
        raise BadQuery(
            sentence(
                f"'state' is {state!r}, expected one of: {', '.join(STATES)}{near}"
            )
        )
    before = newest_of(request, _WHAT)
    found = list_runs(SIZE + 1, [state] if state else (), before=before)
    return {
        "run": None,
        "runs": [_run(one) for one in found[:SIZE]],
        "state": state,
        "states": list(STATES),
        "is_first": not before,
        "next": found[SIZE - 1].task_id if len(found) > SIZE else None,
    }


def _run(one: RunStatus) -> dict[str, Any]:
    words = {word: printable(getattr(one, word)) for word in ("func", "waits_for")}
    return {**asdict(one), **words}


def _step(one: StepStatus, *, can_be_resumed: bool) -> dict[str, Any]:
    return {
        **asdict(one),
        "seconds": None if one.seconds is None else round(one.seconds, 3),
        "can_be_done_again": can_be_resumed,
    }


# -- actions -------------------------------------------------------------------------------
def cancel(request: HttpRequest) -> str:
    """Cancel a durable task; ask first."""
    id = posted_id(request, _WHAT)
    if "sure" not in request.POST:
        return Ask("Cancel this durable task? What its steps have done stays done.")
    found = find(id)
    if found is None:
        raise BadQuery(f"There is no run of the task {id}, or it was pruned.")
    if found.ended is not None:
        raise BadQuery(
            f"The durable task {id} has ended: its state is {found.state!r}."
        )
    cancel_task(id)
    return f"The durable task {id} is to be cancelled."


def resume(request: HttpRequest) -> str:
    """Send a durable task that has failed again; from a step, ask first."""
    id = posted_id(request, _WHAT)
    step = request.POST.get("step") or None
    if step is not None and "sure" not in request.POST:
        return Ask(f"Do the step {step!r} again, and all that began after it?")
    try:
        new = resume_run(id, from_step=step)
    except CallError as error:
        raise BadQuery(str(error)) from error
    return f"{id} is sent again as {new}."
