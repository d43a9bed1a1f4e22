"""What durable tasks are told."""

from __future__ import annotations

from qcore.errors import Discard, TaskError


class StepError(TaskError):
    """A durable task does what it must not; the text says what to do."""


class EventTimeout(TaskError):
    """The event did not happen in time, and ``wait_event`` has no default."""


class TooManyRuns(Discard):
    """The task was begun more often than ``max_runs`` says, and is given up."""
