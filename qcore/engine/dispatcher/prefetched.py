"""Runs in: the dispatcher's loop. The jobs that lie ahead for busy workers."""

from __future__ import annotations

import logging
import time
from collections import deque

from ..wire.messages import Reply
from .job import Job
from .lifecycle import JobState
from .pool import WorkerHandle, WorkerPool
from .ready import ReadyQueue

logger = logging.getLogger("qcore.dispatcher")

#: Seconds until a prefetch queue is looked at again in which something was missing. Its
#: worker has begun that and will say so, or is about to give it back: it is seldom looked
#: at twice.
_AGAIN = 0.05
#: Read once, for every task comes by: Python 3.11 takes 0.2 µs for a member of an enumeration.
_PREFETCHED = JobState.PREFETCHED


class Prefetched:
    """The prefetch queues of all workers.

    Args:
        pool: the workers.
        ready: the jobs that wait; what is taken back comes before all of them.
    """

    def __init__(self, pool: WorkerPool, ready: ReadyQueue) -> None:
        self._pool = pool
        self._ready = ready
        self._used: set[WorkerHandle] = set()  # something lies there, or may
        self._long = 0.0  # seconds after which what lies behind a task is taken back

    def __len__(self) -> int:
        """Return how many jobs lie ahead."""
        return sum(len(worker.ahead) for worker in list(self._used))

    def fewest(self) -> int:
        """Return how many jobs lie ahead for the worker that has the fewest."""
        if len(self._used) < len(self._pool):
            return 0
        return min((len(worker.ahead) for worker in list(self._used)), default=0)

    def open(self, depth: int) -> list[WorkerHandle]:
        """Return the busy workers for which fewer than ``depth`` jobs lie ahead."""
        return [
            worker
            for worker in self._pool.busy()
            if worker.prefetch and not worker.ending and len(worker.ahead) < depth
        ]

    def put(self, worker: WorkerHandle, job: Job, order: bytes) -> bool:
        """Lay a job ahead for a busy worker; return whether its order had place."""
        if worker.prefetch is None or not worker.prefetch.put(order):
            return False
        job.move(_PREFETCHED)
        worker.ahead.append(job)
        self._used.add(worker)
        return True

    def next(self) -> list[float]:
        """Return when the orders behind a task are to be taken back, monotonic."""
        return [
            self._due(worker, worker.job)
            for worker in self._used
            if worker.job is not None
        ]

    def _due(self, worker: WorkerHandle, job: Job) -> float:
        """Return when the orders behind a job are taken back, or looked for again."""
        return max(job.assigned_at + self._long, worker.asked and worker.asked + _AGAIN)

    def keep(self, now: float, long: float) -> None:
        """Take back the orders behind a long task, or all while another worker is idle.

        Args:
            now: monotonic.
            long: seconds after which a task counts as long.
        """
        self._long = long
        starved = bool(self._pool.idle) and not self._ready
        for worker in list(self._used):
            is_long = worker.job is not None and self._due(worker, worker.job) <= now
            if is_long or (starved and worker.ahead):
                self.recall(worker)
            elif not worker.ahead and not worker.unsure:
                self._used.discard(worker)

    def recall(self, worker: WorkerHandle) -> None:
        """Take back the orders that a worker has not begun.

        If the job that the worker was thought to do is among them, the worker is idle, or
        does the next job.
        """
        if worker not in self._used or worker.prefetch is None:
            return
        numbers = worker.prefetch.take_back()
        back = [job for job in worker.ahead if job.number in numbers]
        # the others the worker has begun, and perhaps ended: it will say so
        worker.ahead = deque(job for job in worker.ahead if job.number not in numbers)
        if worker.unsure and worker.job is not None and worker.job.number in numbers:
            back.insert(0, worker.job)
            self._pool.free(worker)
        self._ready.put_back(back)
        worker.unsure = False
        worker.asked = time.monotonic() if worker.ahead else 0.0
        if not worker.ahead:
            self._used.discard(worker)

    def answers(self, worker: WorkerHandle, reply: Reply) -> bool:
        """Return whether a reply is the end of the job that the worker does.

        A worker may have given an order back and done one of those behind it. So the orders
        that it has not begun are taken back before its reply counts as wrong. A wrong reply
        comes from a task: it can write into the socket of its worker, and so can a child
        that it leaves behind. Such bytes must not become the result of another task.
        """
        if worker.expects(reply):
            return True
        self.recall(worker)
        if worker.expects(reply):
            return True
        logger.error(
            "worker %d answers order %d and has order %s; the answer is ignored",
            worker.pid, reply.order, worker.job and worker.job.number,
        )  # fmt: skip
        return False

    def remove(self, worker: WorkerHandle) -> None:
        """Forget a worker that has gone, after its orders are taken back."""
        self.recall(worker)
        self._used.discard(worker)

    def recall_all(self) -> None:
        """Take back every order that no worker has begun."""
        for worker in list(self._used):
            self.recall(worker)
