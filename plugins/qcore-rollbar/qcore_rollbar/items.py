"""What Rollbar is told of a failed attempt: pure functions from a report to an item."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import qcore
from qcore.envelope import Outcome
from qcore.reporters.base import Report, is_on_the_way

#: Characters that Rollbar keeps of a title.
MAX_TITLE = 255

#: What rollbar adds to a frame from its variables.
_VARIABLES = ("argspec", "varargspec", "keywordspec", "locals")

_FOLDER = str(Path(qcore.__file__).parent)


def custom(report: Report) -> dict[str, Any]:
    """Return which task it is about; arguments only where they are asked for."""
    return {"task": report.described()}


def data(report: Report) -> dict[str, Any]:
    """Return the fields of the item itself, beside its body.

    Failures are grouped by Rollbar's own rules, and the project's. A timeout strikes
    anywhere in a function, and a dead worker leaves no traceback: those are one item
    for each function.
    """
    found: dict[str, Any] = {"context": report.func, "framework": "qcore"}
    if report.exception is None or report.outcome == Outcome.TIMEOUT:
        same = f"qcore {report.outcome} {report.func}"
        # Rollbar takes 40 characters, which are those of a SHA-1
        digest = hashlib.sha1(same.encode(), usedforsecurity=False)
        found["fingerprint"] = digest.hexdigest()
        title = " ".join(message(report).split())
        found["title"] = title[:MAX_TITLE]
    return found


def message(report: Report) -> str:
    """Return the text of a failure that has left no exception, or none with a text."""
    return f"{report.func}: {report.message}"


def without_our_variables(payload: dict[str, Any], **_: object) -> dict[str, Any]:
    """Take the variables out of frames that lead to the task; a handler of payloads.

    A project that sends variables with its own code does not mean these, in which
    every task has its arguments.
    """
    body = payload["data"].get("body") or {}
    for trace in [body.get("trace"), *body.get("trace_chain", ())]:
        for frame in (trace or {}).get("frames", ()):
            if _leads_there(str(frame.get("filename"))):
                for name in _VARIABLES:
                    frame.pop(name, None)
    return payload


def _leads_there(filename: str) -> bool:
    """Whether a file is of qcore, or of what stands between a worker and a task."""
    if filename.startswith(_FOLDER):
        return True
    return any(is_on_the_way(part) for part in Path(filename).parts[-3:])
