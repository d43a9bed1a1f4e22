"""What Sentry is told of a failed attempt: pure functions from a report to an event."""

from __future__ import annotations

from typing import Any

from qcore.envelope import Outcome
from qcore.reporters.base import Report, is_on_the_way

#: Characters that Sentry keeps of the value of a tag.
MAX_TAG = 200

Event = dict[str, Any]


def describe(report: Report) -> Event:
    """Return the parts of an event that say which task it is about."""
    return {
        "level": "error",
        "transaction": report.func,
        "fingerprint": fingerprint(report),
        "tags": tags(report),
        "contexts": {"task": report.described()},
    }


def fingerprint(report: Report) -> list[str]:
    """Return what equal failures have in common.

    Failures are told apart by Sentry's own grouping, within each function. A timeout
    strikes anywhere in a function, and a dead worker leaves no traceback: those are one
    issue for each function.
    """
    if report.exception is None or report.outcome == Outcome.TIMEOUT:
        return ["qcore", report.outcome, report.func]
    return ["{{ default }}", report.func]


def tags(report: Report) -> dict[str, str]:
    """Return what can be searched for."""
    found = {
        "qcore.task_id": report.task_id,
        "qcore.func": report.func,
        "qcore.cluster": report.queue,
        "qcore.outcome": report.outcome,
        "qcore.attempt": str(report.attempt),
        "qcore.group": report.group or "",
        "qcore.worker": report.worker,
    }
    # Sentry drops a tag that is empty, too long or more than a line
    return {key: " ".join(v.split())[:MAX_TAG] for key, v in found.items() if v.strip()}


def message(report: Report) -> Event:
    """Return the event of a failure that has left no exception."""
    # with an empty list of threads Sentry does not add the stack of the dispatcher,
    # which has nothing to do with it
    text = f"{report.func}: {report.message}"
    return {"message": text, "threads": {"values": []}, **describe(report)}


def without_our_variables(event: Event) -> Event:
    """Take the local variables out of frames that lead to the task, in place.

    A project that sends variables with its own code does not mean these, in which
    every task has its arguments.
    """
    for value in event["exception"]["values"]:
        for frame in (value.get("stacktrace") or {}).get("frames") or ():
            if is_on_the_way(frame.get("module") or ""):
                frame.pop("vars", None)
    return event
