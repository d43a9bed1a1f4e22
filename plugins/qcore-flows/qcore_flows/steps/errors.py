"""What durable tasks are told."""

from __future__ import annotations

from qcore.errors import Discard, TaskError


class StepError(TaskError):
    """A durable task does what it must not; the text says what to do."""


class EventTimeout(TaskError):
    """The event did not happen in time, and ``wait_event`` has no default."""


class TooManyRuns(Discard):
    """The task has started 1,000 times (``opening.MAX_RUNS``), and is discarded."""
