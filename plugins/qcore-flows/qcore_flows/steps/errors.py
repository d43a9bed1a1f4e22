"""What durable tasks are told."""

from __future__ import annotations

from collections.abc import Mapping

from qcore.errors import Discard, TaskError


class StepError(TaskError):
    """A durable task does what it must not; the text says what to do."""


class EventTimeout(TaskError):
    """The event did not happen in time, and ``wait_event`` has no default."""


class TooManyRuns(Discard):
    """The task has started 1,000 times (``opening.MAX_RUNS``), and is discarded."""


class WaitTimeout(TaskError):
    """The tasks have not ended in time, and ``wait`` or ``wait_all`` has no default."""


class ChildFailed(Discard):
    """A task that the run has spawned has ended, and not succeeded.

    If the task does not catch it, it is discarded: another attempt would find the same.

    Args:
        why: for the stored result and the log.
        outcomes: how the tasks have ended that did not succeed, by their ids: an outcome of
            tasks, or "lost".
    """

    def __init__(self, why: str, outcomes: Mapping[str, str]) -> None:
        super().__init__(why)
        self.outcomes = dict(outcomes)
