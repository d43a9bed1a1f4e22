"""The probe: a small result by which a store shows that it takes results."""

from __future__ import annotations

import time

from ..envelope import Outcome, Result, Task, new_id

#: Name and function of every probe, should one be found where a process was killed.
NAME = "qcore.probe"


def probe() -> Result:
    """Return a result like any other, under an id that nobody has."""
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
    return Result(
        task=task,
        outcome=Outcome.FAILURE,  # a success would count for `save_limit`
        value=b"a probe, no task: does the store take results?",
        content="text",
        started=now,
        stopped=now,
        attempt=1,
    )
