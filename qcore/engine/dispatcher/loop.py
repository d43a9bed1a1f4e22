"""Runs in: the dispatcher, its main thread. Assigns jobs to workers, keeps their time.

The loop owns the workers and every job that waits or runs. It blocks only in ``select``.
While it does, the pusher may assign jobs in its place.
"""

from __future__ import annotations

import logging
import selectors
import signal
import threading
import time
from collections.abc import Sequence

from ...conf import Conf
from ...envelope import Attempt, Outcome
from ..system.process import LONGEST_WAIT
from ..wire.channel import Channel, ChannelClosed
from ..wire.messages import (
    PROGRESS,
    SOFT_CANCEL,
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
)
from .assignment import Assignment
from .capacity import Capacity
from .deaths import Deaths
from .error_reports import ErrorReports
from .job import Job, KillReason
from .leases import Leases
from .lifecycle import WITH_THE_LOOP
from .pool import WorkerHandle, WorkerPool
from .prefetched import Prefetched
from .ready import ReadyQueue
from .recorder import Recorder
from .retries import Decision
from .shutdown import Shutdown
from .startups import WorkerStarts
from .state import SharedState
from .throughput import Throughput
from .watchdog import Overdue, Watchdog

logger = logging.getLogger("qcore.dispatcher")

#: Read once, for every task comes by: Python 3.11 takes 0.2 µs for a member of an enumeration.
_STOPPED = Outcome.STOPPED


class Loop:
    """The dispatcher's loop.

    Args:
        conf: the cluster's settings.
        control: to the sentinel.
        ready: jobs come in here, and wait here for a worker.
        recorder: ended jobs go there.
        capacity: tells the pusher how many more may come.
        shared: what the threads share.
        leases: finds the jobs whose lease was lost.
        reports: tells error reporters of a death, and returns at once.
        run_once: tell the sentinel when the queue is empty and all is done.
    """

    def __init__(
        self,
        conf: Conf,
        control: Channel,
        ready: ReadyQueue,
        recorder: Recorder,
        capacity: Capacity,
        shared: SharedState,
        leases: Leases,
        reports: ErrorReports,
        *,
        run_once: bool,
    ) -> None:
        self._conf = conf
        self._control = control
        self._ready = ready
        self._recorder = recorder
        self._capacity = capacity
        self._shared = shared
        self._leases = leases
        self._run_once = run_once
        self._turn = threading.Lock()  # of whoever changes what the loop owns
        self._selector = selectors.DefaultSelector()
        self._selector.register(ready, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)
        self._starts = WorkerStarts(shared)
        self._deaths = Deaths(shared, leases, recorder, ready, reports)
        self._shutdown = Shutdown()
        self._throughput = Throughput(time.monotonic())
        self._ended = 0  # tasks since the throughput was last noted
        self.pool = WorkerPool(self._selector)
        self._prefetched = Prefetched(self.pool, ready)
        self._watchdog = Watchdog(conf, self.pool, leases)
        self._assignment = Assignment(
            ready, self.pool, self._prefetched, leases, shared, recorder
        )

    # -- for the pusher ------------------------------------------------------------------
    def receive(self, jobs: Sequence[Job]) -> None:
        """Take claimed jobs, and assign them at once where workers are idle."""
        self._ready.add(jobs)
        self._assign_now()
        self._ready.wake()

    def receive_finished(self, job: Job, end: Attempt) -> None:
        """Take a job that an earlier attempt has finished: only its end is left."""
        job.ended = end
        if job.task.follows_up:
            self._ready.put(job)
        else:
            self._recorder.finish(job)

    def receive_dropped(self, job: Job) -> None:
        """Take a job of a package that is not valid any more."""
        job.decision = Decision.SUPERSEDED
        self._recorder.finish(job)

    def receive_ended(self, job: Job, end: Attempt) -> None:
        """Take a job that ends now, without a run: its end is to be stored."""
        job.ended = end
        self._recorder.record(job)

    # -- one round ---------------------------------------------------------------------
    def round(self) -> None:
        """Wait for something to do, and do it.

        Raises:
            ChannelClosed: the sentinel has gone.
        """
        if rest := self._throughput.rest(self._prefetched.fewest(), len(self.pool)):
            time.sleep(rest)
        with self._turn:  # the pusher may be assigning
            timeout = self._time_left()
        found = self._selector.select(timeout)
        with self._turn:
            for key, events in found:
                if key.fileobj is self._ready:
                    self._ready.drain()
                elif key.fileobj is self._control:
                    self._listen()
                elif key.data in self.pool:  # it may have been removed just now
                    if events & selectors.EVENT_WRITE:
                        self.pool.flush(key.data)
                    if events & selectors.EVENT_READ:
                        self._read_replies(key.data)
            while self._shared.cancelling:
                self._cancel(self._shared.cancelling.popleft())
            self._keep_time()
            self._assign()

    def _assign_now(self) -> None:
        """Assign the jobs that have come in, in the thread that has brought them.

        So an idle worker gets its job before another thread has to wake up and get the
        interpreter. That took longer than everything else between claim and task. The loop
        is woken afterwards, because it must learn the deadline of the job.
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
            self._give_back_ready(follow_ups=True)  # nobody is left who could do it
        elif self._shared.pause is not None:
            self._give_back_ready(follow_ups=False)
        stopping = self._shared.stopping.is_set()
        workers = len(self.pool)
        depth = 0 if stopping else self._throughput.depth(workers)
        self._assignment.assign(depth, self._throughput.long(workers))
        for worker, job in self.pool.take_begun():
            self._watchdog.begin(worker, job)
        self._update_capacity(arrived)
        self._shared.changed()

    def _update_capacity(self, arrived: int) -> None:
        """Say how many more jobs may come."""
        self._throughput.note(self._ended, time.monotonic())
        self._ended = 0
        limit = self._conf.queue_limit
        if "queue_limit" not in self._conf.explicit:
            limit = max(limit, self._throughput.ahead())
        idle = len(self.pool.idle)
        if self._recorder.is_behind():
            idle = limit = 0  # and once it is not, we are woken
        waiting = len(self._ready) + len(self._prefetched)
        self._capacity.update(arrived, waiting, idle, limit)

    def _time_left(self) -> float | None:
        """Return the seconds until something is due; None where nothing is."""
        due = self._watchdog.next() + self._shutdown.next() + self._prefetched.next()
        if (moment := self._deaths.next()) is not None:
            due.append(moment)
        if self._run_once or self._shared.stopping.is_set():
            due.append(time.monotonic() + 0.05)  # to see that nothing is left
        if not due:
            return None
        return min(max(0.0, min(due) - time.monotonic()), LONGEST_WAIT)

    def _take_in(self) -> int:
        """Sort the jobs that have come in: follow-ups first, because they are nearly done."""
        arrived = 0
        takes_none = self._shared.stopping.is_set() or self._shared.pause is not None
        for job in self._ready.arrivals():
            if job.ended is not None:
                self._ready.prepend(job)
                continue
            arrived += 1
            if takes_none:
                self._recorder.give_back(job)
            else:
                self._ready.append(job)
        return arrived

    def _cancel(self, job: Job) -> None:
        """End a job that somebody has cancelled; one that waits ends in its turn."""
        job.cancelled = True
        self._prefetched.recall_all()
        for worker in self.pool.busy():
            if worker.job is job:
                self._catch_up(worker)
                if worker.job is job and job.ended is None and job.killed is None:
                    job.killed = KillReason.CANCEL
                    # should its task end by itself after all, this must not hit the next
                    worker.ending = True
                    self._watchdog.cancel(worker, job, time.monotonic())
                    self._kill(worker.pid, SOFT_CANCEL)
                return

    # -- time --------------------------------------------------------------------------
    def _keep_time(self) -> None:
        now = time.monotonic()
        for overdue in self._watchdog.due(now):
            self._stop_overdue(overdue)
        for worker in self._deaths.undead(now):
            self._end_gone(worker)
        if self._shutdown.is_soft_due(now):
            self._interrupt(SOFT_STOP)
        if self._shutdown.is_kill_due(now):
            self._interrupt(signal.SIGKILL)

    def _stop_overdue(self, overdue: Overdue) -> None:
        """Stop a worker for its job, if it still does this job."""
        worker, job, reason, number = overdue
        self._catch_up(worker)
        if worker.job is not job:
            return  # this one has ended
        if reason is KillReason.LOST:
            func, id = job.task.func, job.task.id
            held = job.ledger is not None and job.ledger.is_late(time.monotonic())
            what = "lost what it holds" if held else "has no lease"
            logger.warning("%s id=%s %s: stopped", func, id, what)
        elif reason is KillReason.HUNG:
            logger.warning("worker %d does not read its order: replaced", worker.pid)
        job.killed = reason
        # should its task end by itself after all, this must not hit the next one
        worker.ending = True
        self._kill(worker.pid, number)

    # -- workers ---------------------------------------------------------------------------
    def _read_replies(self, worker: WorkerHandle) -> None:
        try:
            frames = worker.channel.receive()
        except ChannelClosed:
            self._lose(worker)
            return
        self._conclude_all(worker, frames)

    def _catch_up(self, worker: WorkerHandle) -> None:
        """Find out what a worker is doing, before it is stopped.

        If the worker has taken an order from its prefetch queue, it has begun that job, and
        has replied to the job before. Otherwise it still does the job before.
        """
        self._prefetched.recall(worker)
        if worker.ahead and worker in self.pool:
            self._conclude_all(worker, worker.channel.last_words())

    def _remove_dead(self, pid: int, status: int, *, killed: bool) -> None:
        """Remove a worker that has been reaped, and decide what becomes of its jobs."""
        worker = self.pool.get(pid)
        if worker is not None:
            self._conclude_all(worker, worker.channel.last_words())
            if worker in self.pool:
                self._lose(worker)
        self._deaths.died(pid, status, killed=killed)

    def _lose(self, worker: WorkerHandle, *, at_once: bool = False) -> None:
        """Remove a worker whose socket has closed."""
        self._prefetched.remove(worker)
        self.pool.remove(worker)
        lost = worker.job is not None and self._leases.has_lost(
            worker.job, time.monotonic()
        )
        self._deaths.gone(worker, at_once=at_once or lost)

    def _end_gone(self, worker: WorkerHandle) -> None:
        """Kill a worker whose socket has closed and whose process lives on."""
        if worker.job is not None:
            logger.warning(
                "worker %d has closed its connection to the dispatcher; killed",
                worker.pid,
            )
            worker.job.killed = worker.job.killed or KillReason.CLOSED
        self._kill(worker.pid, signal.SIGKILL)

    def _conclude_all(self, worker: WorkerHandle, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if frame[:1] == PROGRESS:
                worker.note_progress(frame)
                continue
            reply, job = worker.understand(frame), worker.job
            if reply is not None and job is not None and reply.order == job.number:
                self._handle_reply(worker, reply)  # nearly always
                continue
            if reply is None or not self._prefetched.answers(worker, reply):
                # what it does is not known any more: its socket is as good as closed
                self._lose(worker, at_once=True)
                return
            self._handle_reply(worker, reply)

    def _handle_reply(self, worker: WorkerHandle, reply: Reply) -> None:
        """Handle the reply of a worker, and make the worker idle again."""
        job = worker.job
        if job is None:
            self.pool.come_up(worker)
            self._starts.came_up(worker.pid)
            self._tell(Ready(worker.pid))
            return
        worker.done, worker.rss = reply.done, reply.rss or worker.rss
        if reply.retires:
            worker.ending = True
            self._prefetched.recall(worker)
        self.pool.free(worker)
        if self._leases.has_lost(job, time.monotonic()):
            self._deaths.drop(job)
        elif reply.ended is None:
            job.next_package = job.next_package or reply.next_package
            self._recorder.finish(job)
        elif reply.ended.outcome == _STOPPED:
            job.again = reply.ended.again
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
                self._shared.restarts += 1
                self._starts.died(message.pid, message.status)
                self._remove_dead(message.pid, message.status, killed=message.killed)
            elif isinstance(message, Stop):
                self._stop(message.grace)
            elif isinstance(message, ReplaceWorkers):
                self._prefetched.recall_all()
                self.pool.end_all()

    def _add(self, started: WorkerStarted) -> None:
        if sockets := self._control.take_sockets(started.fds):
            self.pool.add(WorkerHandle.of(started.pid, started.index, sockets))
        else:
            logger.error("no descriptor is left for worker %d; replaced", started.pid)
            self._kill(started.pid, signal.SIGKILL)

    def _kill(self, pid: int, number: int) -> None:
        self._tell(Kill(pid, number))

    def _tell(self, message: Control) -> None:
        self._control.send(pack_control(message))

    # -- stopping ------------------------------------------------------------------------
    def _stop(self, grace: float) -> None:
        """Claim no more, give back the jobs that have not begun, let the others end."""
        self._shared.stopping.set()
        self._capacity.close()
        self._give_back_ready(follow_ups=False)
        self._shutdown.begin(time.monotonic(), grace)

    def _give_back_ready(self, *, follow_ups: bool) -> None:
        """Give back the jobs that wait for a worker; follow-ups go on unless asked for."""
        for job in self._assignment.withdraw(follow_ups=follow_ups):
            self._recorder.give_back(job)

    def _interrupt(self, number: int) -> None:
        """Signal the workers of the jobs that still run; these jobs are given back."""
        for worker in self.pool.busy():
            self._catch_up(worker)
            if worker.job is None:
                continue
            logger.warning(
                "stopping %s id=%s", worker.job.task.func, worker.job.task.id
            )
            worker.job.killed = KillReason.STOP
            self._kill(worker.pid, number)

    def is_done(self) -> bool:
        """Return whether the cluster has stopped, and nothing is left to do."""
        if self._shared.stopping.is_set():
            if self._shutdown.is_late(time.monotonic()):
                # the recorder may be late
                return not self._shared.count(*WITH_THE_LOOP)
            return not self._shared.held
        idle = not self._shared.held and self._shared.queue_empty.is_set()
        if self._run_once and idle:
            self._run_once = False
            self._tell(Drained())
        return False
