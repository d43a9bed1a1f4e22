"""All jobs and queues of a node, and what becomes of them in time."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Iterable

from .jobs import Job, new_id
from .journal import Journal
from .queues import Queue, Waiter
from .wire import Refusal

# Milliseconds by which a job may come back too early or too late. RETRY 1 was seen to
# come after 0.77, 0.98 and 0.78 s.
JITTER = 500


def clock() -> int:
    """Return the time of day in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Store:
    """The memory of a node."""

    def __init__(self, node_id: str, journal: Journal | None) -> None:
        self.jobs: dict[bytes, Job] = {}
        self.queues: dict[bytes, Queue] = {}
        self.used_memory = 0  # bytes of bodies
        self._node_id = node_id
        self._journal = journal
        self._serial = 0
        self._last_ns = 0
        self._awake: list[tuple[int, int, bytes]] = []
        for job in journal.jobs(clock()) if journal else ():
            self._register(job)

    # -- clients -------------------------------------------------------------
    def add(
        self, queue: bytes, body: bytes, *, delay: int, retry: int, ttl: int
    ) -> Job:
        now = clock()
        self._last_ns = max(self._last_ns + 1, now * 1_000_000)
        job = Job(
            new_id(self._node_id, ttl, retry), queue, body, self._last_ns, delay, retry,
            # the end is reckoned in whole seconds, and so comes early
            ttl, (now // 1000 + ttl) * 1000, now + delay * 1000,
        )  # fmt: skip
        if self._journal:
            self._journal.added(job)
        self._register(job)
        if not delay:
            self.enqueue(job)
        return job

    def claim(self, names: Iterable[bytes], count: int) -> list[Job]:
        """Hand out up to ``count`` jobs, from the queues in their order."""
        found: list[Job] = []
        for name in names:
            queue = self.queue(name)
            while len(found) < count and (job := queue.pop()):
                found.append(job)
        return found

    def wait(self, names: list[bytes], count: int) -> Waiter:
        """Have a client served as soon as a job comes."""
        waiter = Waiter(names, count, asyncio.get_running_loop().create_future())
        for name in names:
            self.queue(name).waiters.append(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        for name in waiter.queues:
            waiters = self.queue(name).waiters
            if waiter in waiters:
                waiters.remove(waiter)

    def remove(self, id: bytes) -> bool:
        job = self.jobs.pop(id, None)
        if job is None:
            return False
        if job.is_queued:
            self.queue(job.queue).leave(job)
        self.used_memory -= len(job.body)
        if self._journal:
            self._journal.removed(id)
        return True

    def give_back(self, id: bytes, *, nack: bool) -> bool:
        """Put a job that was handed out back into its queue."""
        job = self.jobs.get(id)
        if job is None or job.is_queued or (job.was_queued and not job.retry):
            return False
        if nack:
            job.nacks += 1
        elif job.was_queued:
            job.additional += 1
        self.enqueue(job)
        return True

    def take_out(self, id: bytes) -> bool:
        job = self.jobs.get(id)
        if job is None or not job.is_queued:
            return False
        self.queue(job.queue).leave(job)
        return True

    def postpone(self, id: bytes) -> int:
        """Begin the RETRY of a job anew, and return it in seconds."""
        job = self.jobs.get(id)
        if job is None:
            raise Refusal("NOJOB Job not known in the context of this node.")
        now = clock()
        if job.expires - now < job.ttl * 500:
            raise Refusal(
                "TOOLATE Half of job TTL already elapsed, you are no longer allowed to"
                " postpone the next delivery."
            )
        self._schedule(job, now)
        return job.retry

    def queue(self, name: bytes) -> Queue:
        """Return a queue; asking for it creates it."""
        if name not in self.queues:
            self.queues[name] = Queue(name)
        return self.queues[name]

    def clear(self) -> None:
        self.jobs.clear()
        self._awake.clear()
        self.used_memory = 0
        for name, queue in list(self.queues.items()):
            self.queues[name] = Queue(name, waiters=queue.waiters)
        if self._journal:
            self._journal.emptied()

    # -- time ----------------------------------------------------------------
    def tick(self) -> None:
        """Do what is due; the node calls this ten times a second."""
        now = clock()
        while self._awake and self._awake[0][0] <= now:
            job = self.jobs.get(heapq.heappop(self._awake)[2])
            if job is None or job.awake > now:
                continue  # gone, or put off: then there is a later entry
            if job.expires <= now:
                self.remove(job.id)
            elif job.is_queued or (job.retry and self.queue(job.queue).paused_in):
                self._schedule(job, now)  # the time runs on while it waits
            else:
                job.additional += job.was_queued
                self.enqueue(job)

    def enqueue(self, job: Job) -> None:
        """Queue a job. From now on its RETRY runs, whether it is claimed or not."""
        self.queue(job.queue).push(job)
        self._schedule(job, clock())
        self.serve(job.queue)

    def serve(self, name: bytes) -> None:
        """Hand out what waits to the clients that wait for it."""
        queue = self.queue(name)
        while queue.length and queue.waiters and not queue.paused_out:
            waiter = queue.waiters[0]
            self.forget(waiter)
            if not waiter.jobs.done():
                waiter.jobs.set_result(self.claim(waiter.queues, waiter.count))

    def _register(self, job: Job) -> None:
        self._serial += 1
        job.serial = self._serial
        self.jobs[job.id] = job
        self.used_memory += len(job.body)
        self._wake(job)

    def _schedule(self, job: Job, now: int) -> None:
        jitter = random.randint(-JITTER, JITTER)
        job.requeue = now + job.retry * 1000 + jitter if job.retry else None
        self._wake(job)

    def _wake(self, job: Job) -> None:
        heapq.heappush(self._awake, (job.awake, job.serial, job.id))
