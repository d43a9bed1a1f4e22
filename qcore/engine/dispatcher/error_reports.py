"""Runs in: the reporter, a thread of the dispatcher. Tells error reporters of deaths.

A worker reports the failures of its tasks. Only the dispatcher can report the death of a
worker. A reporter is a plugin and may wait for a network, so the loop does not wait for
it: a thread of its own calls the reporters.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from ...envelope import Task
from ..services import ReportFailure

logger = logging.getLogger("qcore.reporter")

#: Reports that may wait. Where a service is slower than workers die, the oldest are told
#: and the newest are counted.
_MOST = 500

#: The arguments of ``ReportFailure``.
_Failure = tuple[Task, int, str, str, str, BaseException | None]


class ErrorReports:
    """The reports that wait for the error reporters.

    Args:
        report: tells all reporters of one failure.
        flush: lets the reporters of this thread send what is left.
    """

    def __init__(self, report: ReportFailure, flush: Callable[[], None]) -> None:
        self._report = report
        self._flush = flush
        self._waiting: queue.Queue[_Failure | None] = queue.Queue(_MOST)
        self._closed = threading.Event()
        self.dropped = 0

    def put(self, *failure: *_Failure) -> None:
        """Have a failure reported, see ``ReportFailure``; returns at once."""
        try:
            self._waiting.put_nowait(failure)
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1 or self.dropped % 100 == 0:
                logger.error(
                    "error reporters are too slow: %d reports were dropped",
                    self.dropped,
                )

    def run(self) -> None:
        """Report until closed; then report what is left."""
        while not (self._closed.is_set() and self._waiting.empty()):
            failure = self._waiting.get()
            if failure is None:
                continue  # to see that it is closed
            try:
                self._report(*failure)
            except BaseException:  # sys.exit in a reporter ends no cluster
                logger.exception("a failure was not reported")
        try:
            self._flush()
        except BaseException:  # as above, and the stop is in order
            logger.exception("error reporters were not flushed")

    def close(self) -> None:
        """End once everything before this call is reported."""
        self._closed.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return  # it is awake

    def tell_left(self) -> None:
        """Log the failures that a stop leaves unreported."""
        if left := self._waiting.qsize():
            logger.error("the cluster stops, and %d reports were not sent", left)
