"""Watches the transitions of every job of this process."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.lifecycle import AFTER, OWNERS, JobState

if TYPE_CHECKING:
    import pytest

_ENGINE = "qcore.engine.dispatcher."


class Transitions:
    """What jobs have done: ``seen``, and in ``wrong`` what they may not do.

    A transition is wrong where the table does not have it, or where another file of the
    engine makes it than the owner of the place. A test may move its jobs itself.
    """

    def __init__(self) -> None:
        self.seen: Counter[tuple[JobState, JobState]] = Counter()
        self.wrong: list[str] = []

    def note(self, source: JobState, target: JobState, maker: str) -> None:
        """Note a transition, and the module that has made it."""
        self.seen[source, target] += 1
        if target not in AFTER[source]:
            self.wrong.append(f"{source} -> {target}: not in the table")
        if maker.startswith(_ENGINE) and maker != _ENGINE + OWNERS[target]:
            self.wrong.append(f"{source} -> {target}: made by {maker}")


def watch_transitions(monkeypatch: pytest.MonkeyPatch) -> Transitions:
    """Watch until the end of the test."""
    watched = Transitions()
    move = Job.move

    def noted(job: Job, state: JobState) -> None:
        maker = sys._getframe(1).f_globals["__name__"]
        watched.note(job.state, state, maker)
        move(job, state)

    monkeypatch.setattr(Job, "move", noted)
    return watched
