"""A durable task with one step, and a task that is retried once."""

from __future__ import annotations

import work

from qcore import Retry
from qcore_flows import step

_failed: set[int] = set()


def one(task: int) -> int:
    """Do what the plain task does, as a step."""
    return step("one", work.noop, task)


def again(task: int) -> int:
    """Do what the plain task does, in the second attempt."""
    if task not in _failed:
        _failed.add(task)
        raise Retry("not yet", after=0)
    _failed.remove(task)
    return work.noop(task)
