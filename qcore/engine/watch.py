"""Runs in: the dispatcher's loop. Watches the workers, and has them killed.

There are three reasons: a job is over its time, it is not ours any more, or its worker
does not take it up.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

from ..conf import Conf
from ..envelope import choose
from .crew import Crew, Hand
from .deadlines import Deadlines
from .fence import Fence
from .job import Job
from .messages import SOFT_STOP
from .shutdown import AFTER_SOFT
from .silence import Silence

logger = logging.getLogger("qcore.dispatcher")


class Watch:
    """Time limits, leases and signs of life of the workers that have a job.

    Args:
        conf: the cluster's settings.
        crew: the workers.
        fence: finds the jobs that are not ours any more.
        kill: sends a signal to the worker of a pid.
        settle: takes back what lies on a worker's tray, and hears what it has said: then
            its job is the one that it does.
    """

    def __init__(
        self,
        conf: Conf,
        crew: Crew,
        fence: Fence,
        kill: Callable[[int, int], None],
        settle: Callable[[Hand], None],
    ) -> None:
        self._conf = conf
        self._crew = crew
        self._fence = fence
        self._tell_to_kill = kill
        self._settle = settle
        self._deadlines = Deadlines()
        self._silence = Silence()

    def begin(self, hand: Hand, job: Job, now: float) -> None:
        """Watch over a job that a worker has just got."""
        self._fence.watch(job)
        self._silence.watch(hand, now)
        seconds = self._conf.timeout
        if job.ended is None:
            seconds = choose(job.task.options.timeout, seconds)
        if seconds is not None:
            self._deadlines.add(now + seconds + self._conf.grace, hand, job)

    def next(self) -> list[float]:
        """Return when something may have to be done, on the monotonic clock."""
        moments = (self._deadlines.next(), self._fence.next(), self._silence.next())
        return [moment for moment in moments if moment is not None]

    def keep(self, now: float) -> None:
        """Do what is due."""
        for hand, job in self._deadlines.passed(now):
            # what was told to stop, and has not, keeps the reason of that
            self._kill(hand, job, signal.SIGKILL, job.killed or "timeout")
        for hand, job in self._fence.fallen(self._crew, now):
            if self._kill(hand, job, SOFT_STOP, "lost"):
                func, id = job.task.func, job.task.id
                logger.warning("%s id=%s has no lease: stopped", func, id)
                self._deadlines.add(now + AFTER_SOFT, hand, job)
        for hand, job in self._silence.broken_off(self._crew, now):
            logger.warning("worker %d does not take its order: replaced", hand.pid)
            self._kill(hand, job, signal.SIGKILL, "silence")

    def _kill(self, hand: Hand, job: Job, number: int, why: str) -> bool:
        """Have a worker killed for its job; return False where it has that no more."""
        self._settle(hand)
        if hand.job is not job:
            return False  # this one has ended
        job.killed = why
        # should its task end by itself after all, this must not hit the next one
        hand.ending = True
        self._tell_to_kill(hand.pid, number)
        return True
