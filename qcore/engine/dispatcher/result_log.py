"""Runs in: the recorder. The line of the log for a finished task."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...envelope import Result, choose
from ...printable import first_line, printable_lines, shorten
from .job import Job
from .retries import Decision

logger = logging.getLogger("qcore.recorder")

#: Characters of a traceback in the log; the result has more.
_LONGEST_TRACE = 8_000


def log_results(
    results: Sequence[Result], jobs: Sequence[Job] = (), most: int = 0
) -> None:
    """Write a line for each finished task: outcome, run time, time in the queue.

    Of an attempt that failed: its number, and when the task is tried again. The traceback
    stands below the last attempt, and below the first where there need not be a last.

    Args:
        results: of finished tasks.
        jobs: of the results: they know when their tasks come again.
        most: the setting ``max_attempts``; 0: no limit.
    """
    # asked once for a batch: most of its lines are of that level
    is_told = logger.isEnabledFor(logging.INFO)
    again: dict[str, str] | None = None
    for result in results:
        if not result.success:
            if again is None:
                again = {job.task.id: _again(job) for job in jobs}
            _log_failure(result, again.get(result.task.id, ""), most)
        elif is_told:
            task = result.task
            logger.info(
                "done %s %.3fs wait=%.3fs id=%s",
                task.func, result.stopped - result.started,
                result.started - task.created, task.id,
            )  # fmt: skip


def _again(job: Job) -> str:
    """Return when a task is tried again, for the log; "" where it is not."""
    if job.decision is Decision.LATER:
        return "; tried again when its lease ends"
    if job.decision is Decision.AT_ONCE or (
        job.decision in (Decision.AFTER, Decision.MOVE) and not job.again
    ):
        return "; tried again now"
    if job.decision in (Decision.AFTER, Decision.MOVE):
        return f"; tried again in {job.again:,.0f} s"
    return ""


def _log_failure(result: Result, again: str, most: int) -> None:
    task = result.task
    most = choose(task.options.max_attempts, most)
    attempt = f"{result.attempt}/{most}" if most else str(result.attempt)
    text = result.value.decode(errors="replace")
    _, _, trace = text.partition("\n\n")
    record = logger.makeRecord(
        logger.name, logging.WARNING, __file__, 0, "%s %s %.3fs attempt=%s id=%s: %s%s",
        (result.outcome, task.func, result.stopped - result.started, attempt,
         task.id, first_line(text), again),
        None,
    )  # fmt: skip
    if result.final or (result.attempt == 1 and not most):
        # where formatters look for the traceback of this process's own exceptions
        record.exc_text = (
            printable_lines(shorten(trace.rstrip(), _LONGEST_TRACE)) or None
        )
    logger.handle(record)
