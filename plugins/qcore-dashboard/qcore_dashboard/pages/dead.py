"""Dead: tasks that have failed for good, by function and by the error."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from qcore.errors import QcoreError
from qcore.masking import mask_url
from qcore.monitor.text import plural
from qcore.pages import Ask, BadQuery
from qcore.results.dead import describe_group
from qcore.runtime import current

from ..problems import Problems, told
from .task import again

if TYPE_CHECKING:
    from django.http import HttpRequest

    from qcore.results.dead import DeadGroup

#: Groups that are shown.
MOST_GROUPS = 50
#: Tasks that one press of a button acts on.
AT_ONCE = 200
_FINGERPRINT = re.compile(r"[0-9a-f]{1,16}")


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document."""
    problems = Problems()
    known = problems.attempt(lambda: current.store().supports_dead)
    groups = problems.attempt(_groups) if known else None
    return {
        "groups": None
        if groups is None
        else [describe_group(one, dt.datetime.timestamp) for one in groups],
        "is_known_to_the_store": known,
        "most": MOST_GROUPS,
        "at_once": AT_ONCE,
        "problems": problems,
    }


def _groups() -> list[DeadGroup]:
    return current.store().dead_groups(MOST_GROUPS)


def _asked(request: HttpRequest) -> tuple[str, list[str]]:
    """Return what a form means: in words, and the ids of the tasks."""
    func, print_ = request.POST.get("func", ""), request.POST.get("fingerprint", "")
    if not func or "\0" in func or not _FINGERPRINT.fullmatch(print_):
        raise BadQuery(
            "The form names no group. Expected the fields 'func' and 'fingerprint'."
        )
    found = current.store().dead_tasks(func, print_, limit=AT_ONCE)
    return f"{mask_url(func)} ({print_})", [one.id for one in found]


def _none(name: str) -> str:
    return f"There is no dead task of {name} any more."


def send_again(request: HttpRequest) -> str:
    """Send the tasks of a group again; one that cannot be sent stays, and stops no other."""
    name, ids = _asked(request)
    if not ids:
        return _none(name)
    count = plural(len(ids), "dead task")
    if "sure" not in request.POST:
        return Ask(f"Send {count} of {name} again?")
    sent, failures = 0, []
    for id in ids:
        try:
            sent += again(id) is not None
        except QcoreError as error:
            failures.append(told(error))
    text = f"{sent:,} of {count} of {name} were sent again."
    return f"{text} The others stay: {failures[0]}" if failures else text


def discard(request: HttpRequest) -> str:
    """Forget the tasks of a group."""
    name, ids = _asked(request)
    if not ids:
        return _none(name)
    count = plural(len(ids), "dead task")
    if "sure" not in request.POST:
        return Ask(f"Delete {count} of {name}? They cannot be sent again then.")
    gone = current.store().discard_dead(ids)
    return f"{len(gone):,} of {count} of {name} were deleted."
