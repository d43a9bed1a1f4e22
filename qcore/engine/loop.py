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

from ..envelope import Outcome
from .arrivals import Arrivals
from .crew import Crew, Hand
from .dealer import Dealer
from .fence import Fence
from .inbox import Inbox
from .job import Job
from .limits import LONGEST_WAIT
from .link import Closed, Link
from .messages import (
    READY,
    SOFT_STOP,
    Control,
    Died,
    Drained,
    Hired,
    Kill,
    Ready,
    Renew,
    Reply,
    Stop,
    pack_control,
    unpack_control,
    unpack_reply,
)
from .obituaries import Obituaries
from .pace import Pace
from .parts import Parts
from .recorder import Recorder
from .room import Room
from .shutdown import Shutdown
from .tally import Tally
from .tray import Tray
from .trays import Trays
from .undertaker import Undertaker
from .watch import Watch

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
        parts: Parts,
        control: Link,
        inbox: Inbox,
        recorder: Recorder,
        room: Room,
        tally: Tally,
        fence: Fence,
        report: Callable[..., None],
        *,
        restarts: int,
        run_once: bool,
    ) -> None:
        self._parts = parts
        self._conf = parts.conf
        self._control = control
        self._inbox = inbox
        self._recorder = recorder
        self._room = room
        self._tally = tally
        self._fence = fence
        self._run_once = run_once
        self._turn = threading.Lock()  # of whoever changes what the loop owns
        self._selector = selectors.DefaultSelector()
        self._selector.register(inbox, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)
        self._ready: deque[Job] = deque()
        self._obituaries = Obituaries()
        self._arrivals = Arrivals(tally)
        self._undertaker = Undertaker(
            parts, tally, fence, recorder, self._ready.appendleft, report
        )
        self._shutdown = Shutdown()
        self._pace = Pace(time.monotonic())
        self._ended = 0  # tasks since the pace was last noted
        self.crew = Crew(self._selector)
        self._trays = Trays(self.crew, self._ready)
        self._watch = Watch(parts.conf, self.crew, fence, self._kill, self._settle)
        self._dealer = Dealer(
            self._ready, self.crew, self._trays, self._watch, fence, tally,
            recorder.record,
        )  # fmt: skip
        self.restarts = restarts

    def waiting(self) -> int:
        """Return how many jobs wait for a worker."""
        return len(self._ready) + len(self._trays)

    # -- one round ---------------------------------------------------------------------
    def round(self) -> None:
        """Wait for something to do, and do it.

        Raises:
            Closed: the sentinel has gone.
        """
        if rest := self._pace.rest(self._trays.fewest(), len(self.crew)):
            time.sleep(rest)
        with self._turn:  # the pusher may be dealing
            patience = self._patience()
        found = self._selector.select(patience)
        with self._turn:
            for key, events in found:
                if key.fileobj is self._inbox:
                    self._inbox.drain()
                elif key.fileobj is self._control:
                    self._listen()
                elif key.data in self.crew:  # it may have been taken leave of just now
                    if events & selectors.EVENT_WRITE:
                        self.crew.flush(key.data)
                    if events & selectors.EVENT_READ:
                        self._hear(key.data)
            self._keep_time()
            self._deal()

    def hasten(self) -> None:
        """Deal what has come in, in the thread of whoever has brought it.

        So an idle worker has its job without another thread being woken first and given
        the interpreter: that took longer than all else between claim and task. The loop
        has to be woken afterwards, for it does not know yet when the job's time is up.
        """
        if not self._turn.acquire(blocking=False):
            return  # it is awake, and does it
        try:
            if self.crew.idle:
                self._deal()
        finally:
            self._turn.release()

    def _deal(self) -> None:
        arrived = self._take_in()
        if self._shutdown.killing or (
            self._tally.stopping.is_set() and not len(self.crew)
        ):
            self._give_back_ready()  # nobody is left who could do it
        stopping = self._tally.stopping.is_set()
        workers = len(self.crew)
        depth = 0 if stopping else self._pace.depth(workers)
        self._dealer.deal(depth, self._pace.long(workers))
        self._make_room(arrived)
        self._tally.stir()

    def _make_room(self, arrived: int) -> None:
        """Say how many more jobs there is room for."""
        self._pace.note(self._ended, time.monotonic())
        self._ended = 0
        limit = self._conf.queue_limit
        if "queue_limit" not in self._conf.explicit:
            limit = max(limit, self._pace.ahead())
        idle = len(self.crew.idle)
        if self._recorder.is_behind():
            idle = limit = 0  # and once it is not, we are woken
        self._room.update(arrived, self.waiting(), idle, limit)

    def _patience(self) -> float | None:
        due = self._watch.next() + self._shutdown.next() + self._trays.next()
        if (moment := self._obituaries.next()) is not None:
            due.append(moment)
        if self._run_once or self._tally.stopping.is_set():
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
            if self._tally.stopping.is_set():
                self._recorder.give_back(job)
            else:
                self._ready.append(job)
        return arrived

    # -- time --------------------------------------------------------------------------
    def _keep_time(self) -> None:
        now = time.monotonic()
        self._watch.keep(now)
        for hand in self._obituaries.undead(now):
            self._end_gone(hand)
        if self._shutdown.is_soft_due(now):
            self._interrupt(SOFT_STOP)
        if self._shutdown.is_kill_due(now):
            self._interrupt(signal.SIGKILL)

    # -- workers ---------------------------------------------------------------------------
    def _hear(self, hand: Hand) -> None:
        try:
            frames = hand.link.receive()
        except Closed:
            self._miss(hand)
            return
        self._conclude_all(hand, frames)

    def _settle(self, hand: Hand) -> None:
        """Know for sure what a worker is doing, before something is done to it.

        What it has taken from its tray it has begun, and then it has said before how the
        job before that has ended; else it does that job still.
        """
        self._trays.recall(hand)
        if hand.laid and hand in self.crew:
            self._conclude_all(hand, hand.link.last_words())

    def _part(self, pid: int, status: int) -> None:
        """Take leave of a worker that has been reaped."""
        hand = self.crew.get(pid)
        if hand is not None:
            self._conclude_all(hand, hand.link.last_words())
            if hand in self.crew:
                self._miss(hand)
        if found := self._obituaries.died(pid, status):
            self._undertaker.bury(*found)

    def _miss(self, hand: Hand, *, at_once: bool = False) -> None:
        """Take leave of a worker of which nothing more is heard."""
        self._trays.leave(hand)
        self.crew.dismiss(hand)
        lost = hand.job is not None and self._fence.has_lost(hand.job, time.monotonic())
        self._obituaries.gone(hand, at_once=at_once or lost)

    def _end_gone(self, hand: Hand) -> None:
        """Kill a worker that has gone and whose process goes on."""
        if hand.job is not None:
            logger.warning(
                "worker %d has closed its connection to the dispatcher; killed",
                hand.pid,
            )
            hand.job.killed = hand.job.killed or "closed"
        self._kill(hand.pid, signal.SIGKILL)

    def _conclude_all(self, hand: Hand, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if (reply := self._understand(hand, frame)) is None:
                # what it does is not known any more: its link is as good as closed
                self._miss(hand, at_once=True)
                return
            self._conclude(hand, reply)

    def _understand(self, hand: Hand, frame: bytes) -> Reply | None:
        """Return what a worker says; None where it can only come of a task.

        A task can write on its worker's link, or leave a child behind which does. No
        result may be stored for another task, and no other task suffer.
        """
        expected = hand.job.number if hand.job is not None else READY.order
        try:
            reply = unpack_reply(frame)
        except msgspec.MsgspecError as error:
            logger.error(
                "worker %d has sent a message that cannot be read: %s", hand.pid, error
            )
            return None
        if reply.order != expected or (hand.job is None and hand.ready):
            logger.error(
                "worker %d answers order %d and has order %d; the answer is ignored",
                hand.pid, reply.order, expected,
            )  # fmt: skip
            return None
        return reply

    def _conclude(self, hand: Hand, reply: Reply) -> None:
        """Take a worker's reply, and make it idle again."""
        job = hand.job
        if job is None:
            self.crew.begin(hand)
            self._arrivals.came(hand.pid)
            self._tell(Ready(hand.pid))
            return
        hand.done, hand.rss = reply.done, reply.rss or hand.rss
        if reply.retires:
            hand.ending = True
            self._trays.recall(hand)
        if following := self.crew.free(hand):
            self._dealer.begin(hand, following)
        if self._fence.has_lost(job, time.monotonic()):
            self._undertaker.let_go(job)
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
            if isinstance(message, Hired):
                self._welcome(message)
            elif isinstance(message, Died):
                self.restarts += 1
                self._arrivals.died(message.pid, message.status)
                self._part(message.pid, message.status)
            elif isinstance(message, Stop):
                self._stop(message.grace)
            elif isinstance(message, Renew):
                self._trays.recall_all()
                self.crew.end_all()

    def _welcome(self, hired: Hired) -> None:
        sockets = self._control.take_sockets(hired.fds)
        if not sockets:
            logger.error("no descriptor is left for worker %d; replaced", hired.pid)
            self._kill(hired.pid, signal.SIGKILL)
            return
        link, *tray = sockets
        hand = Hand(hired.pid, hired.index, Link(link))
        hand.tray = Tray(*tray) if tray else None
        self.crew.welcome(hand)

    def _kill(self, pid: int, number: int) -> None:
        self._tell(Kill(pid, number))

    def _tell(self, message: Control) -> None:
        self._control.send(pack_control(message))

    # -- stopping ------------------------------------------------------------------------
    def _stop(self, grace: float) -> None:
        """Claim no more, give back what has not begun, let the rest end for a while."""
        self._tally.stopping.set()
        self._room.close()
        self._give_back_ready(begun=False)
        self._shutdown.begin(time.monotonic(), grace)

    def _give_back_ready(self, *, begun: bool = True) -> None:
        """Return what waits for a worker; without ``begun``, follow-ups may go on."""
        for job in self._dealer.withdraw(begun=begun):
            self._recorder.give_back(job)

    def _interrupt(self, number: int) -> None:
        """End what still runs; it is given back and will run again."""
        for hand in self.crew.busy():
            self._settle(hand)
            if hand.job is None:
                continue
            logger.warning("stopping %s id=%s", hand.job.task.func, hand.job.task.id)
            hand.job.killed = "stop"
            self._kill(hand.pid, number)

    def is_done(self) -> bool:
        """Return whether the cluster has stopped, and nothing is left to do."""
        busy = self.crew.busy() or self._ready or self._inbox or self._obituaries
        if self._tally.stopping.is_set():
            # a result that is being recorded may still ask for a follow-up
            late = self._shutdown.is_late(time.monotonic())
            return not busy and (late or not self._tally.held)
        idle = not busy and not self._tally.held and self._tally.queue_empty.is_set()
        if self._run_once and idle:
            self._run_once = False
            self._tell(Drained())
        return False
