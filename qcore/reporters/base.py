"""What an error reporter is: somewhere to send the failures of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a reporter is told of one failed attempt.

    ``exception`` is None where the attempt left none: a killed worker. ``args`` and
    ``kwargs`` are None unless the setting ``report_args`` asks for them.
    """

    task_id: str
    task_name: str
    func: str
    queue: str
    group: str | None
    attempt: int
    outcome: str  # "failure", "timeout" or "crash"
    message: str  # one line
    worker: str  # "host:pid"
    exception: BaseException | None = None
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None


class ErrorReporter:
    """Base class of all error reporters.

    An instance is made in each process that reports, with the keywords that stand
    under its name in ``Q_CLUSTER['error_reporter']``. What it raises is logged and
    changes nothing for the task.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def report(self, report: Report) -> None:
        """Send one failure; returns at once, the sending happens in the background."""
        raise NotImplementedError

    def flush(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds until everything is sent; called at the end."""
