"""Runs in: the dispatcher. Its loop: deals jobs to workers and keeps their time.

The loop owns the workers and every job that waits or runs; the threads beside it
reach it through its inbox. It never blocks but in ``select``.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ..envelope import Outcome, choose
from ..status import Snapshot
from ..tasks.execution import Attempt
from .crew import Crew, Hand
from .deadlines import Deadlines
from .herald import Herald
from .job import Job
from .keeper import Keeper
from .limits import set_title
from .link import Closed, Link
from .messages import (
    SOFT_STOP,
    Control,
    Died,
    Drained,
    Hired,
    Kill,
    Ready,
    Renew,
    Stop,
    pack_control,
    pack_follow_up,
    pack_run,
    unpack_control,
    unpack_reply,
)
from .obituaries import Obituaries
from .pace import Pace
from .parts import Parts
from .pusher import Pusher
from .recorder import Recorder
from .room import Room
from .tally import Tally
from .timer import Timer

logger = logging.getLogger("qcore.dispatcher")

#: Seconds that a thread may keep the interpreter from the loop. Python's 5 ms would
#: be added to the latency of every task while the recorder works on a batch.
_SWITCH = 0.0005
#: Results that may wait to be recorded before no more packages are claimed.
_MAX_BACKLOG = 2000
#: Seconds between the soft stop of a task at shutdown and SIGKILL.
_AFTER_SOFT_STOP = 2.0
#: Seconds that recorder and pusher have to end once the last task has.
_LAST_WORDS = 3.0


class Dispatcher:
    """The process between broker and workers.

    Args:
        parts: what the cluster is made of.
        control: to the sentinel.
        cluster: the cluster's id.
        started: when it was started, seconds since the epoch.
        restarts: how many processes the sentinel has replaced so far.
        run_once: stop when the queue is empty.
    """

    def __init__(
        self,
        parts: Parts,
        control: Link,
        *,
        cluster: str,
        started: float,
        restarts: int = 0,
        run_once: bool = False,
    ) -> None:
        self._parts = parts
        self._conf = parts.conf
        self._control = control
        self._cluster = cluster
        self._started = started
        self._restarts = restarts
        self._run_once = run_once
        self._selector = selectors.DefaultSelector()
        self._crew = Crew(self._selector)
        self._ready: deque[Job] = deque()
        self._inbox: deque[Job] = deque()
        self._wake_end, self._wake = socket.socketpair()
        self._deadlines = Deadlines()
        self._obituaries = Obituaries()
        self._tally = Tally()
        self._room = Room(self._conf.queue_limit)
        self._pace = Pace(time.monotonic())
        self._ended = 0  # tasks since the pace was last noted
        self._recorder = Recorder(parts, self._tally, self.give_one)
        self._pusher = Pusher(
            parts, self._room, self._tally, self.give, self._give_finished
        )
        self._herald = Herald(self.snapshot, parts.publish, self._conf.guard_cycle)
        self._stop_at: float | None = None
        self._kill_at: float | None = None
        self._killing = False
        self._give_up_at: float | None = None  # no longer wait for the recorder
        self._failed_thread: str | None = None

    # -- for the threads beside the loop ---------------------------------------------
    def give(self, jobs: Sequence[Job]) -> None:
        """Take jobs in, from any thread."""
        self._inbox.extend(jobs)
        self._nudge()

    def give_one(self, job: Job) -> None:
        """Take one job in, from any thread."""
        self._inbox.append(job)
        self._nudge()

    def _give_finished(self, job: Job, content: str, value: bytes) -> None:
        """Take a job that an earlier attempt has finished: only its end is left."""
        created = job.task.created
        job.ended = Attempt(Outcome.SUCCESS, value, content, created, created)
        if job.task.follows_up:
            self.give_one(job)
        else:
            self._recorder.finish(job)

    def _nudge(self) -> None:
        try:
            self._wake.send(b"\0")
        except BlockingIOError:
            return  # it has more than enough to wake for

    # -- the process -----------------------------------------------------------------
    def run(self) -> None:
        """Dispatch until told to stop, then end in order.

        Raises:
            SystemExit: with 1 where the order could not be kept.
        """
        sys.setswitchinterval(_SWITCH)
        set_title(f"qcore[{self._conf.name}] dispatcher")
        self._wake.setblocking(False)
        self._wake_end.setblocking(False)
        self._selector.register(self._wake_end, selectors.EVENT_READ)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._parts.notify("qcore_process_started", role="dispatcher", conf=self._conf)
        threads = self._start_threads()
        try:
            while not self._is_done():
                self._round()
        except Closed:
            self._end_everything()
        self._finish(threads)

    def _start_threads(self) -> dict[str, threading.Thread]:
        work: dict[str, Callable[[], None]] = {
            "recorder": self._recorder.run,
            "pusher": self._pusher.run,
            "keeper": Keeper(self._parts, self._tally).run,
            "herald": self._herald.run,
        }
        if self._conf.scheduler:
            work["timer"] = Timer(self._parts, self._tally).run
        threads = {}
        for name, run in work.items():
            thread = threading.Thread(
                target=self._guarded, args=(name, run), name=name, daemon=True
            )
            thread.start()
            threads[name] = thread
        return threads

    def _guarded(self, name: str, run: Callable[[], None]) -> None:
        """Run a thread; if it dies, so does the dispatcher, and the sentinel starts anew."""
        try:
            run()
        except BaseException:
            logger.exception("the %s died, and the dispatcher with it", name)
            self._failed_thread = name
            self._nudge()

    def _finish(self, threads: dict[str, threading.Thread]) -> None:
        """Let the threads end in the order in which they depend on each other."""
        deadline = time.monotonic() + _LAST_WORDS
        self._room.close()
        threads["pusher"].join(max(0.0, deadline - time.monotonic()))
        for job in self._inbox:
            self._recorder.give_back(job)
        self._recorder.close()
        threads["recorder"].join(max(0.1, deadline - time.monotonic()))
        self._tally.ended.set()
        self._herald.close()
        threads["herald"].join(1.0)
        self._parts.notify("qcore_process_stopping", role="dispatcher", conf=self._conf)
        if threads["recorder"].is_alive() or self._failed_thread:
            raise SystemExit(1)

    def _end_everything(self) -> None:
        """The sentinel is gone: no worker may outlive it, and nobody else will see to that."""
        logger.critical("the sentinel has gone; ending its workers")
        for hand in self._crew:
            try:
                os.killpg(hand.pid, signal.SIGKILL)
            except ProcessLookupError:
                logger.debug("worker %d has ended already", hand.pid)
        os._exit(1)

    # -- one round ---------------------------------------------------------------------
    def _round(self) -> None:
        for key, events in self._selector.select(self._patience()):
            if key.fileobj is self._wake_end:
                self._wake_end.recv(4096)
            elif key.fileobj is self._control:
                self._listen()
            elif key.data in self._crew:  # it may have been taken leave of just now
                if events & selectors.EVENT_WRITE:
                    self._crew.flush(key.data)
                if events & selectors.EVENT_READ:
                    self._hear(key.data)
        self._keep_time()
        arrived = self._take_in()
        if self._killing or (self._tally.stopping.is_set() and not len(self._crew)):
            self._give_back_ready()  # nobody is left who could do it
        self._deal()
        self._make_room(arrived)
        if self._failed_thread:
            raise SystemExit(1)

    def _make_room(self, arrived: int) -> None:
        """Say how many more jobs there is room for."""
        self._pace.note(self._ended, time.monotonic())
        self._ended = 0
        limit = self._conf.queue_limit
        if "queue_limit" not in self._conf.explicit:
            limit = max(limit, self._pace.ahead())
        idle = len(self._crew.idle)
        if self._recorder.backlog() > _MAX_BACKLOG:
            idle = limit = 0  # results come faster than they can be stored
        self._room.update(arrived, len(self._ready), idle, limit)

    def _patience(self) -> float | None:
        moments = (
            self._deadlines.next(),
            self._stop_at,
            self._kill_at,
            self._obituaries.next(),
        )
        due = [moment for moment in moments if moment is not None]
        if self._run_once or self._tally.stopping.is_set():
            due.append(time.monotonic() + 0.05)  # to see that nothing is left
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _take_in(self) -> int:
        """Sort what has come in: follow-ups first, they are nearly done."""
        arrived = 0
        while self._inbox:
            job = self._inbox.popleft()
            if job.ended is not None:
                self._ready.appendleft(job)
                continue
            arrived += 1
            if self._tally.stopping.is_set():
                self._recorder.give_back(job)
            else:
                self._ready.append(job)
        return arrived

    # -- dealing -----------------------------------------------------------------------
    def _deal(self) -> None:
        idle, ready = self._crew.idle, self._ready
        while idle and ready:
            job = ready.popleft()
            now = time.monotonic()
            if job.ended is None and not self._may_start(job, now):
                self._tally.settle(job)
                continue
            hand = idle.pop()
            if not self._crew.order(hand, _order_for(job)):
                ready.appendleft(job)  # its death will be heard of in a moment
                continue
            hand.job = job
            job.dealt = now
            if job.ended is None:
                self._tally.active[job.task.id] = job
            self._limit(hand, job, now)

    def _may_start(self, job: Job, now: float) -> bool:
        """Whether a delivery is still ours, and not a copy of one that runs already."""
        if job.lost or job.lease_end <= now:
            # somebody else has it, or will in a moment: two would run
            logger.info("%s waited longer than its lease; left", job.task.id)
            return False
        other = self._tally.active.get(job.task.id)
        if other is not None and not other.lost and other.lease_end > now:
            logger.info("%s was delivered twice; one of them is left", job.task.id)
            return False
        return True

    def _limit(self, hand: Hand, job: Job, now: float) -> None:
        """Note when the worker must be killed, should the soft time-out not do."""
        seconds = self._conf.timeout
        if job.ended is None:
            seconds = choose(job.task.options.timeout, seconds)
        if seconds is not None:
            self._deadlines.add(now + seconds + self._conf.grace, hand, job)

    def _keep_time(self) -> None:
        now = time.monotonic()
        for hand, job in self._deadlines.passed(now):
            job.killed = "timeout"
            # should it end in time after all, the kill must not hit its next task
            hand.ending = True
            self._tell(Kill(hand.pid, signal.SIGKILL))
        for hand, job in self._obituaries.overdue(now):
            self._bury(hand, job, "it is not known how")
        if self._stop_at is not None and now >= self._stop_at:
            self._stop_at = None
            self._kill_at = now + _AFTER_SOFT_STOP
            self._interrupt(SOFT_STOP)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._killing = True
            self._interrupt(signal.SIGKILL)

    # -- workers ---------------------------------------------------------------------------
    def _hear(self, hand: Hand) -> None:
        try:
            frames = hand.link.receive()
        except Closed:
            self._crew.dismiss(hand)
            if hand.job is not None:
                self._obituaries.lost(hand)
            return
        for frame in frames:
            self._conclude(hand, frame)

    def _part(self, pid: int, status: int) -> None:
        """Take leave of a worker that has been reaped."""
        hand = self._crew.get(pid)
        if hand is not None:
            for frame in hand.link.last_words():
                self._conclude(hand, frame)
            self._crew.dismiss(hand)
            if hand.job is not None:
                self._obituaries.lost(hand)
        if found := self._obituaries.died(pid, status):
            self._bury(*found)

    def _conclude(self, hand: Hand, frame: bytes) -> None:
        """Take a worker's reply, and make it idle again."""
        reply = unpack_reply(frame)
        job = hand.job
        if job is None:
            self._crew.begin(hand)
            self._tell(Ready(hand.pid))
            return
        hand.done, hand.rss = reply.done, reply.rss or hand.rss
        hand.ending = hand.ending or reply.retires
        self._crew.free(hand)
        if reply.ended is None:
            job.next_package = reply.next_package
            self._recorder.finish(job)
        elif reply.ended.outcome == Outcome.STOPPED:
            self._recorder.give_back(job)
        else:
            job.ended = reply.ended
            self._ended += 1
            self._recorder.record(job)

    def _bury(self, hand: Hand, job: Job, how: str) -> None:
        """Say what became of the job of a dead worker."""
        hand.job = None
        if job.killed == "stop":
            self._recorder.give_back(job)
        elif job.ended is not None:
            self._after_follow_up_death(job, how)
        else:
            now = time.time()
            seconds = time.monotonic() - job.dealt
            job.ended = _death(job, how, now - seconds, now)
            self._parts.report(
                job.task,
                job.attempt,
                job.ended.outcome,
                job.ended.value.decode(),
                f"{socket.gethostname()}:{hand.pid}",
                None,
            )
            self._recorder.record(job)

    def _after_follow_up_death(self, job: Job, how: str) -> None:
        """Try a follow-up once more; a hook that kills twice is given up."""
        job.follow_up_crashes += 1
        logger.error("the hook of %s killed its worker: %s", job.task.id, how)
        if job.follow_up_crashes < 2:
            self._ready.appendleft(job)
        else:
            self._recorder.finish(job)

    # -- the sentinel ------------------------------------------------------------------------
    def _listen(self) -> None:
        for frame in self._control.receive_with_fds():
            message = unpack_control(frame)
            if isinstance(message, Hired):
                sock = socket.socket(fileno=self._control.fds.popleft())
                self._crew.welcome(Hand(message.pid, message.index, Link(sock)))
            elif isinstance(message, Died):
                self._restarts += 1
                self._part(message.pid, message.status)
            elif isinstance(message, Stop):
                self._stop(message.grace)
            elif isinstance(message, Renew):
                self._crew.end_all()

    def _tell(self, message: Control) -> None:
        self._control.send(pack_control(message))

    # -- stopping ------------------------------------------------------------------------
    def _stop(self, grace: float) -> None:
        """Claim no more, give back what has not begun, let the rest end for a while."""
        self._tally.stopping.set()
        self._room.close()
        self._give_back_ready(begun=False)
        now = time.monotonic()
        self._give_up_at = now + grace + _AFTER_SOFT_STOP
        if grace > 0:
            self._stop_at = now + grace
        else:
            self._stop_at, self._kill_at = None, now

    def _give_back_ready(self, *, begun: bool = True) -> None:
        """Return what waits for a worker; without ``begun``, follow-ups may go on."""
        waiting, self._ready = self._ready, deque()
        for job in waiting:
            if begun or job.ended is None:
                self._recorder.give_back(job)
            else:
                self._ready.append(job)

    def _interrupt(self, number: int) -> None:
        """End what still runs; it is given back and will run again."""
        for hand in self._crew.busy():
            assert hand.job is not None
            logger.warning("stopping %s id=%s", hand.job.task.func, hand.job.task.id)
            hand.job.killed = "stop"
            self._tell(Kill(hand.pid, number))

    def _is_done(self) -> bool:
        busy = self._crew.busy() or self._ready or self._inbox or self._obituaries
        if self._tally.stopping.is_set():
            # a result that is being recorded may still ask for a follow-up
            late = self._give_up_at is not None and time.monotonic() >= self._give_up_at
            return not busy and (late or not self._tally.held)
        idle = not busy and not self._tally.held and self._tally.queue_empty.is_set()
        if self._run_once and idle:
            self._run_once = False
            self._tell(Drained())
        return False

    def snapshot(self) -> Snapshot:
        """Return what the cluster is doing; called by the herald."""
        tally = self._tally
        problems = "; ".join(tally.problems.values())
        state = "stopping" if tally.stopping.is_set() else "running"
        if tally.ended.is_set():
            state = "stopped"
        elif problems and state == "running":
            state = "paused"
        return Snapshot(
            cluster=self._cluster,
            name=self._conf.name,
            queue=self._conf.queue,
            host=socket.gethostname(),
            version=self._parts.version,
            broker=self._parts.broker_info(),
            state=state,
            sentinel_pid=os.getppid(),
            dispatcher_pid=os.getpid(),
            started=self._started,
            at=time.time(),
            workers=self._crew.statuses(),
            waiting=len(self._ready),
            recording=self._recorder.backlog(),
            succeeded=tally.succeeded,
            failed=tally.failed,
            crashed=tally.crashed,
            quarantined=tally.quarantined,
            restarts=self._restarts,
            problem=problems or None,
        )


def _order_for(job: Job) -> bytes:
    if job.ended is None:
        return pack_run(job.delivery.package, job.attempt)
    return pack_follow_up(job.delivery.package, job.attempt, job.ended)


def _death(job: Job, how: str, started: float, stopped: float) -> Attempt:
    """Return the end of a job whose worker died."""
    if job.killed == "timeout":
        outcome = Outcome.TIMEOUT
        text = f"TaskTimeout: it did not end by itself after its timeout; {how}"
    else:
        outcome = Outcome.CRASH
        text = f"WorkerDied: the worker died under the task: {how}"
    return Attempt(outcome, text.encode(), "text", started, stopped)
