"""One queue: its jobs by their time of creation, and the clients that wait for one."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from dataclasses import dataclass, field

from .jobs import Job


@dataclass(eq=False, slots=True)
class Waiter:
    """A client that is blocked in GETJOB."""

    queues: list[bytes]
    count: int
    jobs: asyncio.Future[list[Job]]


@dataclass(slots=True)
class Queue:
    """What waits under one name."""

    name: bytes
    length: int = 0
    jobs_in: int = 0
    jobs_out: int = 0
    born: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    paused_in: bool = False
    paused_out: bool = False
    waiters: deque[Waiter] = field(default_factory=deque)
    # Entries of jobs that have left otherwise are passed over when they come up.
    _heap: list[tuple[int, int, Job]] = field(default_factory=list)

    def push(self, job: Job) -> None:
        """Put a job where its age belongs: a returned one comes to the front."""
        job.is_queued = job.was_queued = True
        self.length += 1
        self.jobs_in += 1
        self.used = time.monotonic()
        heapq.heappush(self._heap, (job.created_ns, job.serial, job))

    def pop(self) -> Job | None:
        """Hand out the oldest job."""
        while self._heap and not self.paused_out:
            job = heapq.heappop(self._heap)[2]
            if job.is_queued:
                self.leave(job)
                self.jobs_out += 1
                self.used = time.monotonic()
                return job
        return None

    def leave(self, job: Job) -> None:
        """Take a job out, wherever it stands."""
        job.is_queued = False
        self.length -= 1

    def peek(self, count: int) -> list[Job]:
        """Return the oldest jobs; with a negative count the newest."""
        jobs = {entry[2].id: entry[2] for entry in sorted(self._heap)}
        waiting = [job for job in jobs.values() if job.is_queued]
        return waiting[:count] if count >= 0 else waiting[::-1][:-count]

    @property
    def pause(self) -> str:
        names = {(True, True): "all", (True, False): "in", (False, True): "out"}
        return names.get((self.paused_in, self.paused_out), "none")
