"""The reporter that is always there: the log."""

from __future__ import annotations

import logging

from .base import ErrorReporter, Report

logger = logging.getLogger("qcore.reporter")


class LogReporter(ErrorReporter):
    """Writes each failure to the logger ``qcore.reporter``, with its traceback."""

    def report(self, report: Report) -> None:
        logger.error(
            "%s of %s (%s) attempt=%d worker=%s: %s",
            report.outcome,
            report.func,
            report.task_id,
            report.attempt,
            report.worker,
            report.message,
            exc_info=report.exception,
        )
