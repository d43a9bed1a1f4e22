"""Runs in: the dispatcher. The state that its threads share, with the counters."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from ...masking import mask_url
from ...status import Pause
from .job import Job
from .lifecycle import JobState
from .steps import Steps


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass(slots=True)
class SharedState:
    """Counters and shared knowledge; each counter is written by one thread only."""

    succeeded: int = 0  # recorder
    failed: int = 0  # recorder
    crashed: int = 0  # recorder
    quarantined: int = 0  # pusher
    restarts: int = 0  # loop: processes that the sentinel has replaced so far
    #: every delivery that is ours, from its claim until it is settled. Several threads
    #: change these two: by single operations only, and by copies where they go through.
    held: set[Job] = field(default_factory=set)
    #: the newest job of each task id that a worker has or had, until it is settled
    active: dict[str, Job] = field(default_factory=dict)
    #: what keeps a thread from working: its name -> one line
    problems: dict[str, str] = field(default_factory=dict)
    #: what threads wait for just now
    steps: Steps = field(default_factory=Steps)
    #: jobs whose tasks somebody has cancelled, for the loop (control)
    cancelling: deque[Job] = field(default_factory=deque)
    #: whether any task is marked as cancelled, so that claims are looked up (control)
    has_marks: bool = False
    #: of the cluster's queue: nothing is claimed, and nothing begins (control)
    pause: Pause | None = None
    #: set by the renewal: leases are renewed, so that one which ends is lost
    renewing: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    #: set when the last result is recorded
    ended: threading.Event = field(default_factory=threading.Event)
    #: not set while the pusher may claim: at a stop, what it claims again has cost an attempt
    claims_ended: threading.Event = field(default_factory=_set_event)
    #: set by the pusher while the broker has nothing for us
    queue_empty: threading.Event = field(default_factory=threading.Event)
    #: set when the status may say something new; its publisher clears it
    news: threading.Event = field(default_factory=threading.Event)

    def changed(self) -> None:
        """Let the status be published: something has changed."""
        if not self.news.is_set():
            self.news.set()

    def report_problem(self, who: str, why: str) -> None:
        """Show why a thread cannot work. ``why`` is one line; secrets in it are masked."""
        self.problems[who] = mask_url(why)
        self.changed()

    def clear_problem(self, who: str) -> bool:
        """Show the problem of a thread no more; return whether there was one."""
        if self.problems.pop(who, None) is None:
            return False
        self.changed()
        return True

    def count(self, *states: JobState) -> int:
        """Return how many jobs stand in one of these states."""
        found = [job.state for job in list(self.held)]
        return sum(found.count(state) for state in states)

    def settle(self, job: Job, exit: JobState) -> None:
        """Forget a delivery.

        Args:
            job: its delivery.
            exit: what has become of it: it is acknowledged, given back, left or lost.
        """
        try:
            self.held.remove(job)
        except KeyError:  # another thread was first: two may settle the same job
            return
        job.move(exit)
        if self.active.get(job.task.id) is not job:
            return
        # the loop may assign a copy meanwhile
        other = self.active.pop(job.task.id, None)
        if other is not None and other is not job:
            self.active.setdefault(job.task.id, other)
