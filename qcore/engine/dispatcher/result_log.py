"""Runs in: the recorder. The line of the log for a finished task."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...envelope import Result
from ...printable import first_line, printable_lines, shorten

logger = logging.getLogger("qcore.recorder")

#: Characters of a traceback in the log; the result has more.
_LONGEST_TRACE = 8_000


def log_results(results: Sequence[Result]) -> None:
    """Write a line for each finished task: outcome, run time, time in the queue.

    Below it, the traceback of a failure.
    """
    # asked once for a batch: most of its lines are of that level
    is_told = logger.isEnabledFor(logging.INFO)
    for result in results:
        if not result.success:
            _log_failure(result)
        elif is_told:
            task = result.task
            logger.info(
                "done %s %.3fs wait=%.3fs id=%s",
                task.func, result.stopped - result.started,
                result.started - task.created, task.id,
            )  # fmt: skip


def _log_failure(result: Result) -> None:
    task = result.task
    text = result.value.decode(errors="replace")
    _, _, trace = text.partition("\n\n")
    record = logger.makeRecord(
        logger.name, logging.WARNING, __file__, 0, "%s %s %.3fs attempt=%d id=%s: %s",
        (result.outcome, task.func, result.stopped - result.started, result.attempt,
         task.id, first_line(text)),
        None,
    )  # fmt: skip
    # where formatters look for the traceback of this process's own exceptions
    record.exc_text = printable_lines(shorten(trace.rstrip(), _LONGEST_TRACE)) or None
    logger.handle(record)
