"""A durable task with one step."""

from __future__ import annotations

import work

from qcore_flows import step


def one(task: int) -> int:
    """Do what the plain task does, as a step."""
    return step("one", work.noop, task)
