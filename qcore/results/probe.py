"""The probe: a small result by which a store shows that it takes results."""

from __future__ import annotations

import time

from ..envelope import Attempt, Outcome, Result, Task, new_id

#: Name and function of every probe, should one be found where a process was killed.
NAME = "qcore.probe"
_TEXT = "a probe, no task: does the store take results?"


def probe() -> Result:
    """Return an ordinary result with a new id."""
    now = time.time()
    task = Task(
        id=new_id(),
        name=NAME,
        func=NAME,
        queue=NAME,
        created=now,
        content="json",
        body=b"[[],{}]",
    )
    # a success would count for `save_limit`
    ended = Attempt.failed(Outcome.FAILURE, _TEXT, now, now)
    return ended.result(task, 1)
