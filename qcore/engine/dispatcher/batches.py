"""Runs in: loop and recorder. The jobs that wait to be recorded, taken in batches.

The recorder takes all jobs that wait. So an idle cluster records single results without
delay, and under load the batches grow. While other tasks run and results come one by one,
the recorder waits a moment for a few of them.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from enum import StrEnum
from typing import cast

from .job import Job
from .state import SharedState

#: Results in one batch at most; more gain nothing and make one statement large.
BATCH = 500
#: Seconds that a single result waits for others, where the last batch was so recent. Each
#: batch is a transaction with a write to the disk: with four workers and tasks of 10 ms
#: there were 0.7 for each task, and are 0.3; its CPU fell by a quarter, PostgreSQL's by 40 %.
_LINGER, _RECENT = 0.005, 0.02
#: Seconds without a job after which the recorder does the work that can wait: a moment that
#: no caller notices, and long enough that a stream of results is not interrupted.
_IDLE = 0.25


class Work(StrEnum):
    """What the recorder is to do with a job."""

    RECORD = "record"  # store its end, then settle its delivery
    FINISH = "finish"  # settle its delivery
    GIVE_BACK = "give back"  # return its delivery to the broker


#: Read once, for every task comes by: Python 3.11 takes 0.2 µs for a member of an enumeration.
_RECORD = Work.RECORD


class RecordQueue:
    """Jobs on their way to the recorder, each with what is to be done with it.

    Args:
        shared: what the threads share.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._inbox: queue.SimpleQueue[tuple[Work, Job] | None] = queue.SimpleQueue()
        self._ended_at = 0.0  # monotonic: of the last batch
        #: called once when nothing has come for a moment
        self.when_idle: Callable[[], None] | None = None
        self.is_closed = False  # and everything before that has been taken

    # -- for other threads -------------------------------------------------------------
    def __len__(self) -> int:
        """Return how many jobs wait."""
        return self._inbox.qsize()

    def put(self, work: Work, job: Job) -> None:
        """Put a job, with the work that the recorder does for it."""
        self._inbox.put((work, job))

    def close(self) -> None:
        """Let the batch that is taken next be the last."""
        self._inbox.put(None)

    # -- for the recorder ----------------------------------------------------------------
    def take(self, until: float | None = None) -> list[tuple[Work, Job]]:
        """Wait for a job; return it with all others that have come.

        Args:
            until: the moment after which it returns without any, on the monotonic clock;
                None waits for ever.
        """
        try:
            item = self._next(until)
        except queue.Empty:
            return []
        if item is not None and self._may_wait(*item):
            time.sleep(_LINGER)
        found = [item]
        # nobody else takes from the inbox: what is there now can be taken without a wait
        while more := min(self._inbox.qsize(), BATCH - len(found)):
            found += [self._inbox.get_nowait() for _ in range(more)]
        if None in found:
            self.is_closed = True
            return [item for item in found if item is not None]
        return cast("list[tuple[Work, Job]]", found)

    def done(self) -> None:
        """Note that what was taken last is recorded."""
        self._ended_at = time.monotonic()

    def _next(self, until: float | None) -> tuple[Work, Job] | None:
        """Wait for an item; do postponed work when none comes for a moment.

        Raises:
            queue.Empty: there was none until then.
        """
        if self.when_idle is not None:
            try:
                return self._inbox.get(timeout=_IDLE)
            except queue.Empty:
                self.when_idle()
                self.when_idle = None
        if until is None:
            return self._inbox.get()
        return self._inbox.get(timeout=max(0.0, until - time.monotonic()))

    def _may_wait(self, work: Work, job: Job) -> bool:
        """Whether other results will follow soon, and nobody waits for this result.

        A caller may send each task after the result of the last one: then no other result
        follows. A follow-up must not be late either.
        """
        return (
            work is _RECORD
            and not job.task.follows_up
            and len(self._shared.held) > 1
            and self._inbox.empty()
            and time.monotonic() - self._ended_at < _RECENT
        )
