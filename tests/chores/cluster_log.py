"""The log of a cluster without what tasks have raised."""

from __future__ import annotations

import re

# the line of a task that has ended badly, and the lines of its traceback below that
_OF_TASKS = re.compile(
    r"^\S+ \S+ WARNING qcore\.recorder: (?:failure|timeout|crash) .*\n(?:(?!\d{4}-\d\d-\d\d ).*\n?)*",
    re.MULTILINE,
)


def own_log(log: str) -> str:
    """Return a cluster's log without the failures of tasks and their tracebacks.

    What is left has a traceback only where qcore itself has met what it did not expect.
    """
    return _OF_TASKS.sub("", log)
