"""Runs in: the dispatcher, its main thread. Deals jobs to workers, keeps their time.

The loop owns the workers and every job that waits or runs. It never blocks but in
``select``, and while it does, the pusher may deal in its place.
"""

from __future__ import annotations

import logging
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from ...envelope import Outcome
from ..services import Services
from ..system.process import LONGEST_WAIT
from ..wire.channel import Channel, ChannelClosed
from ..wire.messages import (
    READY,
    SOFT_STOP,
    Control,
    Drained,
    Kill,
    Ready,
    ReplaceWorkers,
    Reply,
    Stop,
    WorkerExited,
    WorkerStarted,
    pack_control,
    unpack_control,
    unpack_reply,
)
from ..wire.prefetch import PrefetchQueue
from .assignment import Assignment
from .capacity import Capacity
from .deaths import Deaths
from .exits import Exits
from .inbox import Inbox
from .job import Job
from .leases import Leases
from .pool import WorkerHandle, WorkerPool
from .prefetched import Prefetched
from .recorder import Recorder
from .shutdown import Shutdown
from .startups import WorkerStarts
from .state import SharedState
from .throughput import Throughput
from .watchdog import Watchdog

logger = logging.getLogger("qcore.dispatcher")


class Loop:
    """The dispatcher's loop.

    Args:
        parts: what the cluster is made of.
        control: to the sentinel.
        inbox: jobs come in here.
        recorder: ended jobs go there.
        room: tells the pusher how many more may come.
        tally: what the threads share.
        fence: finds the jobs that are not ours any more.
        report: tells error reporters of a death, and returns at once.
        restarts: how many processes the sentinel has replaced so far.
        run_once: tell the sentinel when the queue is empty and all is done.
    """

    def __init__(
        self,
        services: Services,
        control: Channel,
        inbox: Inbox,
        recorder: Recorder,
        capacity: Capacity,
        shared: SharedState,
        leases: Leases,
        report: Callable[..., None],
        *,
        restarts: int,
        run_once: bool,
    ) -> None:
        self._services = services
        self._conf = services.conf
        self._control = control
        self._inbox = inbox
        self._recorder = recorder
        self._capacity = capacity
        self._shared = shared
        self._leases = leases
        self._run_once = run_once
        self._turn = threading.Lock()  # of whoever changes what the loop owns
        self._selector = selectors.DefaultSelector()
        self._selector.register(inbox, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)
        self._ready: deque[Job] = deque()
        self._exits = Exits()
        self._arrivals = WorkerStarts(shared)
        self._deaths = Deaths(
            services, shared, leases, recorder, self._ready.appendleft, report
        )
        self._shutdown = Shutdown()
        self._throughput = Throughput(time.monotonic())
        self._ended = 0  # tasks since the pace was last noted
        self.pool = WorkerPool(self._selector)
        self._prefetched = Prefetched(self.pool, self._ready)
        self._watch = Watchdog(
            services.conf, self.pool, leases, self._kill, self._settle
        )
        self._assignment = Assignment(
            self._ready, self.pool, self._prefetched, self._watch, leases, shared,
            recorder.record,
        )  # fmt: skip
        self.restarts = restarts

    def waiting(self) -> int:
        """Return how many jobs wait for a worker."""
        return len(self._ready) + len(self._prefetched)

    # -- one round ---------------------------------------------------------------------
    def round(self) -> None:
        """Wait for something to do, and do it.

        Raises:
            Closed: the sentinel has gone.
        """
        if rest := self._throughput.rest(self._prefetched.fewest(), len(self.pool)):
            time.sleep(rest)
        with self._turn:  # the pusher may be dealing
            outage = self._outage()
        found = self._selector.select(outage)
        with self._turn:
            for key, events in found:
                if key.fileobj is self._inbox:
                    self._inbox.drain()
                elif key.fileobj is self._control:
                    self._listen()
                elif key.data in self.pool:  # it may have been taken leave of just now
                    if events & selectors.EVENT_WRITE:
                        self.pool.flush(key.data)
                    if events & selectors.EVENT_READ:
                        self._read_replies(key.data)
            self._keep_time()
            self._assign()

    def assign_now(self) -> None:
        """Deal what has come in, in the thread of whoever has brought it.

        So an idle worker has its job without another thread being woken first and given
        the interpreter: that took longer than all else between claim and task. The loop
        has to be woken afterwards, for it does not know yet when the job's time is up.
        """
        if not self._turn.acquire(blocking=False):
            return  # it is awake, and does it
        try:
            if self.pool.idle:
                self._assign()
        finally:
            self._turn.release()

    def _assign(self) -> None:
        arrived = self._take_in()
        if self._shutdown.killing or (
            self._shared.stopping.is_set() and not len(self.pool)
        ):
            self._give_back_ready()  # nobody is left who could do it
        stopping = self._shared.stopping.is_set()
        workers = len(self.pool)
        depth = 0 if stopping else self._throughput.depth(workers)
        self._assignment.assign(depth, self._throughput.long(workers))
        self._update_capacity(arrived)
        self._shared.changed()

    def _update_capacity(self, arrived: int) -> None:
        """Say how many more jobs there is room for."""
        self._throughput.note(self._ended, time.monotonic())
        self._ended = 0
        limit = self._conf.queue_limit
        if "queue_limit" not in self._conf.explicit:
            limit = max(limit, self._throughput.ahead())
        idle = len(self.pool.idle)
        if self._recorder.is_behind():
            idle = limit = 0  # and once it is not, we are woken
        self._capacity.update(arrived, self.waiting(), idle, limit)

    def _outage(self) -> float | None:
        due = self._watch.next() + self._shutdown.next() + self._prefetched.next()
        if (moment := self._exits.next()) is not None:
            due.append(moment)
        if self._run_once or self._shared.stopping.is_set():
            due.append(time.monotonic() + 0.05)  # to see that nothing is left
        if not due:
            return None
        return min(max(0.0, min(due) - time.monotonic()), LONGEST_WAIT)

    def _take_in(self) -> int:
        """Sort what has come in: follow-ups first, they are nearly done."""
        arrived = 0
        for job in self._inbox.take():
            if job.ended is not None:
                self._ready.appendleft(job)
                continue
            arrived += 1
            if self._shared.stopping.is_set():
                self._recorder.give_back(job)
            else:
                self._ready.append(job)
        return arrived

    # -- time --------------------------------------------------------------------------
    def _keep_time(self) -> None:
        now = time.monotonic()
        self._watch.keep(now)
        for worker in self._exits.undead(now):
            self._end_gone(worker)
        if self._shutdown.is_soft_due(now):
            self._interrupt(SOFT_STOP)
        if self._shutdown.is_kill_due(now):
            self._interrupt(signal.SIGKILL)

    # -- workers ---------------------------------------------------------------------------
    def _read_replies(self, worker: WorkerHandle) -> None:
        try:
            frames = worker.channel.receive()
        except ChannelClosed:
            self._lose(worker)
            return
        self._conclude_all(worker, frames)

    def _settle(self, worker: WorkerHandle) -> None:
        """Know for sure what a worker is doing, before something is done to it.

        What it has taken from its tray it has begun, and then it has said before how the
        job before that has ended; else it does that job still.
        """
        self._prefetched.recall(worker)
        if worker.ahead and worker in self.pool:
            self._conclude_all(worker, worker.channel.last_words())

    def _part(self, pid: int, status: int) -> None:
        """Take leave of a worker that has been reaped."""
        worker = self.pool.get(pid)
        if worker is not None:
            self._conclude_all(worker, worker.channel.last_words())
            if worker in self.pool:
                self._lose(worker)
        if found := self._exits.died(pid, status):
            self._deaths.record_death(*found)

    def _lose(self, worker: WorkerHandle, *, at_once: bool = False) -> None:
        """Take leave of a worker of which nothing more is heard."""
        self._prefetched.leave(worker)
        self.pool.remove(worker)
        lost = worker.job is not None and self._leases.has_lost(
            worker.job, time.monotonic()
        )
        self._exits.gone(worker, at_once=at_once or lost)

    def _end_gone(self, worker: WorkerHandle) -> None:
        """Kill a worker that has gone and whose process goes on."""
        if worker.job is not None:
            logger.warning(
                "worker %d has closed its connection to the dispatcher; killed",
                worker.pid,
            )
            worker.job.killed = worker.job.killed or "closed"
        self._kill(worker.pid, signal.SIGKILL)

    def _conclude_all(self, worker: WorkerHandle, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if (reply := self._understand(worker, frame)) is None:
                # what it does is not known any more: its link is as good as closed
                self._lose(worker, at_once=True)
                return
            self._handle_reply(worker, reply)

    def _understand(self, worker: WorkerHandle, frame: bytes) -> Reply | None:
        """Return what a worker says; None where it can only come of a task.

        A task can write on its worker's link, or leave a child behind which does. No
        result may be stored for another task, and no other task suffer.
        """
        expected = worker.job.number if worker.job is not None else READY.order
        try:
            reply = unpack_reply(frame)
        except msgspec.MsgspecError as error:
            logger.error(
                "worker %d has sent a message that cannot be read: %s",
                worker.pid,
                error,
            )
            return None
        if reply.order != expected or (worker.job is None and worker.ready):
            logger.error(
                "worker %d answers order %d and has order %d; the answer is ignored",
                worker.pid, reply.order, expected,
            )  # fmt: skip
            return None
        return reply

    def _handle_reply(self, worker: WorkerHandle, reply: Reply) -> None:
        """Take a worker's reply, and make it idle again."""
        job = worker.job
        if job is None:
            self.pool.begin(worker)
            self._arrivals.came_up(worker.pid)
            self._tell(Ready(worker.pid))
            return
        worker.done, worker.rss = reply.done, reply.rss or worker.rss
        if reply.retires:
            worker.ending = True
            self._prefetched.recall(worker)
        if following := self.pool.free(worker):
            self._assignment.begin(worker, following)
        if self._leases.has_lost(job, time.monotonic()):
            self._deaths.drop(job)
        elif reply.ended is None:
            job.next_package = job.next_package or reply.next_package
            self._recorder.finish(job)
        elif reply.ended.outcome == Outcome.STOPPED:
            self._recorder.give_back(job)
        else:
            job.ended = reply.ended
            job.next_package = reply.next_package
            self._ended += 1
            self._recorder.record(job)

    # -- the sentinel ------------------------------------------------------------------------
    def _listen(self) -> None:
        for frame in self._control.receive_with_fds():
            message = unpack_control(frame)
            if isinstance(message, WorkerStarted):
                self._add(message)
            elif isinstance(message, WorkerExited):
                self.restarts += 1
                self._arrivals.died(message.pid, message.status)
                self._part(message.pid, message.status)
            elif isinstance(message, Stop):
                self._stop(message.grace)
            elif isinstance(message, ReplaceWorkers):
                self._prefetched.recall_all()
                self.pool.end_all()

    def _add(self, started_worker: WorkerStarted) -> None:
        sockets = self._control.take_sockets(started_worker.fds)
        if not sockets:
            logger.error(
                "no descriptor is left for worker %d; replaced", started_worker.pid
            )
            self._kill(started_worker.pid, signal.SIGKILL)
            return
        channel, *prefetch = sockets
        worker = WorkerHandle(
            started_worker.pid, started_worker.index, Channel(channel)
        )
        worker.prefetch = PrefetchQueue(*prefetch) if prefetch else None
        self.pool.add(worker)

    def _kill(self, pid: int, number: int) -> None:
        self._tell(Kill(pid, number))

    def _tell(self, message: Control) -> None:
        self._control.send(pack_control(message))

    # -- stopping ------------------------------------------------------------------------
    def _stop(self, grace: float) -> None:
        """Claim no more, give back what has not begun, let the rest end for a while."""
        self._shared.stopping.set()
        self._capacity.close()
        self._give_back_ready(begun=False)
        self._shutdown.begin(time.monotonic(), grace)

    def _give_back_ready(self, *, begun: bool = True) -> None:
        """Return what waits for a worker; without ``begun``, follow-ups may go on."""
        for job in self._assignment.withdraw(begun=begun):
            self._recorder.give_back(job)

    def _interrupt(self, number: int) -> None:
        """End what still runs; it is given back and will run again."""
        for worker in self.pool.busy():
            self._settle(worker)
            if worker.job is None:
                continue
            logger.warning(
                "stopping %s id=%s", worker.job.task.func, worker.job.task.id
            )
            worker.job.killed = "stop"
            self._kill(worker.pid, number)

    def is_done(self) -> bool:
        """Return whether the cluster has stopped, and nothing is left to do."""
        busy = self.pool.busy() or self._ready or self._inbox or self._exits
        if self._shared.stopping.is_set():
            # a result that is being recorded may still ask for a follow-up
            late = self._shutdown.is_late(time.monotonic())
            return not busy and (late or not self._shared.held)
        idle = not busy and not self._shared.held and self._shared.queue_empty.is_set()
        if self._run_once and idle:
            self._run_once = False
            self._tell(Drained())
        return False
