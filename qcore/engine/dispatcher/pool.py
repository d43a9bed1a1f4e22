"""Runs in: the dispatcher's loop. The worker pool, as the dispatcher sees it."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec

from ...status import Progress, WorkerStatus
from ..system.process import rss_kb_of
from ..wire.channel import Channel, ChannelClosed
from ..wire.messages import PACKED_END, READY, Reply, unpack_progress, unpack_reply
from ..wire.prefetch import PrefetchQueue
from .job import Job
from .lifecycle import JobState

logger = logging.getLogger("qcore.dispatcher")

#: Read once, for every task comes by: Python 3.11 takes 0.2 µs for a member of an enumeration.
_RUNNING = JobState.RUNNING

READ = selectors.EVENT_READ
BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


@dataclass(slots=True, eq=False)
class WorkerHandle:
    """One worker."""

    pid: int
    index: int
    channel: Channel
    prefetch: PrefetchQueue | None = None
    job: Job | None = None  # what it does, as far as is known
    ahead: deque[Job] = field(default_factory=deque)  # its prefetched jobs, after that
    unsure: bool = False  # its job was prefetched, and its order may lie there still
    #: monotonic: when its prefetch queue was emptied last, if something was missing
    asked: float = 0.0
    ready: bool = False  # it has said its first word
    ending: bool = False  # it takes no more orders
    order_read: bool = True  # it has read its last order, as far as is known
    orders: int = 0  # how many it was given
    done: int = 0
    rss: int = 0  # kB
    #: the last progress of its job, with the job
    progress: tuple[Job, Progress] | None = None

    @classmethod
    def of(cls, pid: int, index: int, sockets: Sequence[socket.socket]) -> Self:
        """Return a worker that is connected by a channel, and perhaps a prefetch queue."""
        channel, *prefetch = sockets
        queue = PrefetchQueue(*prefetch) if prefetch else None
        return cls(pid, index, Channel(channel), queue)

    def order_for(self, job: Job) -> bytes:
        """Return the order to do a job, which gets the next number of this worker."""
        self.orders += 1
        job.number = self.orders
        return job.order()

    def understand(self, frame: bytes) -> Reply | None:
        """Return the message of this worker; None if it cannot be read."""
        try:
            return unpack_reply(frame)
        except msgspec.MsgspecError as error:
            logger.error(
                "worker %d has sent a message that cannot be read: %s", self.pid, error
            )
            return None

    def note_progress(self, frame: bytes) -> None:
        """Keep the progress of its task, until the next report."""
        try:
            told = unpack_progress(frame)
        except msgspec.MsgspecError as error:
            logger.error(
                "worker %d has told a progress that cannot be read: %s", self.pid, error
            )
            return
        if self.job is not None:
            self.progress = (self.job, told)

    def expects(self, reply: Reply) -> bool:
        """Return whether a reply is the end of this worker's job, or its first word."""
        if self.job is None:
            return not self.ready and reply.order == READY.order
        return reply.order == self.job.number


class WorkerPool:
    """All workers that are connected, and which of them are idle.

    The worker that became idle last gets the next job: its caches are warm, and in
    a quiet hour the others stay asleep.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._workers: dict[int, WorkerHandle] = {}  # by pid
        self.idle: deque[WorkerHandle] = deque()
        self._begun: list[tuple[WorkerHandle, Job]] = []

    def __iter__(self) -> Iterator[WorkerHandle]:
        return iter(list(self._workers.values()))

    def __contains__(self, worker: WorkerHandle) -> bool:
        return self._workers.get(worker.pid) is worker

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, pid: int) -> WorkerHandle | None:
        """Return the worker of a pid, while it is connected."""
        return self._workers.get(pid)

    def busy(self) -> list[WorkerHandle]:
        """Return the workers that have a job."""
        return [worker for worker in self if worker.job is not None]

    def add(self, worker: WorkerHandle) -> None:
        """Take a new worker in; it gets nothing to do until it is ready."""
        self._workers[worker.pid] = worker
        self._selector.register(worker.channel, READ, worker)

    def remove(self, worker: WorkerHandle) -> None:
        """Forget a worker whose socket has closed."""
        self._workers.pop(worker.pid, None)
        self._selector.unregister(worker.channel)
        worker.channel.close()
        if worker.prefetch is not None:
            worker.prefetch.close()
            worker.prefetch = None
        if worker in self.idle:
            self.idle.remove(worker)

    def order(self, worker: WorkerHandle, frame: bytes) -> bool:
        """Send an order; return False if the worker has gone meanwhile.

        The bytes that the socket does not take now are sent later: a worker that was
        stopped in the middle of a frame does not block the loop.
        """
        try:
            if not worker.channel.send(frame):
                self._selector.modify(worker.channel, BOTH, worker)
        except ChannelClosed:
            return False
        return True

    def flush(self, worker: WorkerHandle) -> None:
        """Send more of an order that was half sent."""
        try:
            if worker.channel.flush():
                self._selector.modify(worker.channel, READ, worker)
        except ChannelClosed:
            # its end comes as a socket that is closed for reading, and is noticed there
            self._selector.modify(worker.channel, READ, worker)

    def begin(self, worker: WorkerHandle, job: Job, *, unsure: bool = False) -> None:
        """Note that a worker has begun a job, and take the time of the job from now on.

        Args:
            worker: has no job.
            job: what it does from now on.
            unsure: its order may lie in the prefetch queue still.
        """
        job.move(_RUNNING)
        job.assigned_at = time.monotonic()
        worker.job, worker.unsure = job, unsure
        self._begun.append((worker, job))

    def take_begun(self) -> list[tuple[WorkerHandle, Job]]:
        """Return which worker has begun which job, in order; each once."""
        begun, self._begun = self._begun, []
        return begun

    def free(self, worker: WorkerHandle) -> None:
        """Note that a worker has done its job; it goes on with its next prefetched job."""
        if worker.ahead:
            self.begin(worker, worker.ahead.popleft(), unsure=True)
            return
        worker.job, worker.unsure = None, False
        if worker.ending:
            self.order(worker, PACKED_END)
        else:
            self.idle.append(worker)

    def come_up(self, worker: WorkerHandle) -> None:
        """Note that a worker has come up."""
        worker.ready = True
        worker.rss = 0  # it has grown since it was measured
        if not worker.ending:
            self.idle.append(worker)

    def end_all(self) -> None:
        """Let every worker end after its job."""
        for worker in self:
            self.end(worker)

    def end(self, worker: WorkerHandle) -> None:
        """Let a worker end after its job; a second call is harmless."""
        if not worker.ending:
            worker.ending = True
            if worker in self.idle:
                self.idle.remove(worker)
            if worker.job is None:
                self.order(worker, PACKED_END)

    def statuses(self) -> list[WorkerStatus]:
        """Return what each worker is doing, by place."""
        now = time.monotonic()
        return [
            _status(worker, now)
            for worker in sorted(self, key=lambda worker: worker.index)
        ]


def _measure(worker: WorkerHandle) -> None:
    """Measure the memory of a worker that does not report it now, where the system tells.

    Such a worker is in the middle of a task, or has not ended a task yet. If the kernel
    kills it because memory ran out, this figure is all that is known.
    """
    try:
        worker.rss = rss_kb_of(worker.pid) or worker.rss
    except OSError:  # it has ended, or this is not Linux
        return


def _status(worker: WorkerHandle, now: float) -> WorkerStatus:
    if worker.job is not None or not worker.rss:
        _measure(worker)
    job = worker.job  # once: another thread asks, and the loop goes on meanwhile
    status = WorkerStatus(
        index=worker.index,
        pid=worker.pid,
        state="ending" if worker.ending else "idle" if worker.ready else "starting",
        rss=worker.rss or None,
        done=worker.done,
    )
    if job is not None:
        status.state = "busy" if job.ended is None else "following up"
        status.task_id = job.task.id
        status.task_name = job.task.name
        status.func = job.task.func
        status.seconds = round(now - job.assigned_at, 3)
        if (told := worker.progress) is not None and told[0] is job:
            status.progress = told[1]
    return status
