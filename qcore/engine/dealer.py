"""Runs in: the dispatcher's loop. Which job goes to which worker, and when."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from ..envelope import Outcome
from ..tasks.execution import Attempt
from .crew import Crew, Hand
from .fence import Fence
from .job import Job
from .tally import Tally
from .trays import Trays
from .watch import Watch

logger = logging.getLogger("qcore.dispatcher")


class Dealer:
    """Deals the jobs that wait.

    Args:
        ready: the jobs that wait, in the order in which they are dealt.
        crew: the workers.
        trays: what lies before those that are busy.
        watch: is told of each job that a worker begins.
        fence: tells which jobs are not ours any more.
        tally: what the threads share.
        record: takes jobs that have ended.
    """

    def __init__(
        self,
        ready: deque[Job],
        crew: Crew,
        trays: Trays,
        watch: Watch,
        fence: Fence,
        tally: Tally,
        record: Callable[[Job], None],
    ) -> None:
        self._ready = ready
        self._crew = crew
        self._trays = trays
        self._watch = watch
        self._fence = fence
        self._tally = tally
        self._record = record
        trays.tell(self.begin)

    def deal(self, depth: int, long: float) -> None:
        """Give every idle worker a job, and busy ones up to ``depth`` in advance.

        Args:
            depth: jobs on each tray, at most.
            long: seconds after which what lies behind a task is taken back.
        """
        self._trays.keep(time.monotonic(), long)
        idle = self._crew.idle
        while idle and (job := self._next()):
            hand = idle.pop()
            if (order := self._order(hand, job)) is None:
                idle.append(hand)
                continue
            if not self._crew.order(hand, order):
                self._ready.appendleft(job)  # its death will be heard of in a moment
                continue
            hand.job = job
            self.begin(hand, job)
        if depth and self._ready:
            self._lay_out(depth)

    def _lay_out(self, depth: int) -> None:
        hands = deque(self._trays.open(depth))
        while hands and (job := self._next()):
            hand = hands.popleft()
            if (order := self._order(hand, job)) is None:
                hands.appendleft(hand)
            elif not self._trays.lay(hand, job, order):
                self._ready.appendleft(job)
            elif len(hand.laid) < depth:
                hands.append(hand)

    def _order(self, hand: Hand, job: Job) -> bytes | None:
        """Return the order to do a job; one that cannot be put into words has failed."""
        try:
            return hand.order_for(job)
        except Exception as error:
            logger.exception(
                "%s cannot be assigned to a worker; stored as a failure", job.task.id
            )
            now = time.time()
            text = f"{type(error).__name__}: the task cannot be assigned to a worker: {error}"
            value = text.encode(errors="replace")
            job.ended = Attempt(Outcome.FAILURE, value, "text", now, now)
            self._record(job)
            return None

    def begin(self, hand: Hand, job: Job) -> None:
        """Take the time of a job from now on."""
        job.dealt = time.monotonic()
        self._watch.begin(hand, job, job.dealt)

    def withdraw(self, *, begun: bool) -> Iterator[Job]:
        """Yield what is not to be dealt any more; without ``begun``, follow-ups stay."""
        self._trays.recall_all()
        for _ in range(len(self._ready)):
            job = self._ready.popleft()
            if begun or job.ended is None:
                yield job
            else:
                self._ready.append(job)

    def _next(self) -> Job | None:
        """Return the next job that may begin, and note that it does."""
        while self._ready:
            job = self._ready.popleft()
            if self._may_begin(job, time.monotonic()):
                if job.ended is None:
                    self._tally.active[job.task.id] = job
                return job
            self._tally.settle(job)
        return None

    def _may_begin(self, job: Job, now: float) -> bool:
        """Whether a delivery is still ours, and not a copy of one that runs already."""
        if job.ended is not None:
            return not self._fence.has_lost(job, now)
        if job.lost or job.lease_end <= now:
            # somebody else has it, or will in a moment: two would run
            logger.info("%s waited longer than its lease; left", job.task.id)
            return False
        other = self._tally.active.get(job.task.id)
        if other is None or other is job or other.lost or other.lease_end <= now:
            return True
        logger.info("%s was delivered twice; one of them is left", job.task.id)
        return False
