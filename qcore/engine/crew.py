"""Runs in: the dispatcher's loop. The workers, as the dispatcher sees them."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..status import WorkerStatus
from .job import Job
from .limits import rss_kb_of
from .link import Closed, Link
from .messages import PACKED_END
from .tray import Tray

READ = selectors.EVENT_READ
BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


@dataclass(slots=True, eq=False)
class Hand:
    """One worker."""

    pid: int
    index: int
    link: Link
    tray: Tray | None = None
    job: Job | None = None  # what it does, as far as is known
    laid: deque[Job] = field(default_factory=deque)  # what lies on its tray after that
    unsure: bool = False  # its job was on the tray, and may be there still
    #: monotonic: when its tray was emptied last, if something was missing
    asked: float = 0.0
    ready: bool = False  # it has said its first word
    ending: bool = False  # it takes no more orders
    heeded: bool = True  # it has read its last order, as far as is known
    orders: int = 0  # how many it was given
    done: int = 0
    rss: int = 0  # kB

    def order_for(self, job: Job) -> bytes:
        """Return the order to do a job, which gets the next number of this worker."""
        self.orders += 1
        job.number = self.orders
        return job.order()


class Crew:
    """All workers that are connected, and which of them are idle.

    The worker that became idle last gets the next job: its caches are warm, and in
    a quiet hour the others stay asleep.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._hands: dict[int, Hand] = {}  # by pid
        self.idle: deque[Hand] = deque()

    def __iter__(self) -> Iterator[Hand]:
        return iter(list(self._hands.values()))

    def __contains__(self, hand: Hand) -> bool:
        return self._hands.get(hand.pid) is hand

    def __len__(self) -> int:
        return len(self._hands)

    def get(self, pid: int) -> Hand | None:
        """Return the worker of a pid, while it is connected."""
        return self._hands.get(pid)

    def busy(self) -> list[Hand]:
        """Return the workers that have a job."""
        return [hand for hand in self if hand.job is not None]

    def welcome(self, hand: Hand) -> None:
        """Take a new worker in; it gets nothing to do until it is ready."""
        self._hands[hand.pid] = hand
        self._selector.register(hand.link, READ, hand)

    def dismiss(self, hand: Hand) -> None:
        """Forget a worker whose link has closed."""
        self._hands.pop(hand.pid, None)
        self._selector.unregister(hand.link)
        hand.link.close()
        if hand.tray is not None:
            hand.tray.close()
            hand.tray = None
        if hand in self.idle:
            self.idle.remove(hand)

    def order(self, hand: Hand, frame: bytes) -> bool:
        """Send an order; return False if the worker has gone meanwhile.

        What the socket does not take at once is sent when it can: a worker that was
        stopped in mid-frame cannot hold the loop up.
        """
        try:
            if not hand.link.send(frame):
                self._selector.modify(hand.link, BOTH, hand)
        except Closed:
            return False
        return True

    def flush(self, hand: Hand) -> None:
        """Send more of an order that was half sent."""
        try:
            if hand.link.flush():
                self._selector.modify(hand.link, READ, hand)
        except Closed:
            # its end comes as a closed link for reading; there it is dealt with
            self._selector.modify(hand.link, READ, hand)

    def free(self, hand: Hand) -> Job | None:
        """Note that a worker has done its job; return the one that it goes on with."""
        if hand.laid:
            hand.job, hand.unsure = hand.laid.popleft(), True
            return hand.job
        hand.job, hand.unsure = None, False
        if hand.ending:
            self.order(hand, PACKED_END)
        else:
            self.idle.append(hand)
        return None

    def begin(self, hand: Hand) -> None:
        """Note that a worker has come up."""
        hand.ready = True
        hand.rss = 0  # it has grown since it was measured
        if not hand.ending:
            self.idle.append(hand)

    def end_all(self) -> None:
        """Have every worker end after what it is doing."""
        for hand in self:
            self.end(hand)

    def end(self, hand: Hand) -> None:
        """Have a worker end after what it is doing; saying it twice is harmless."""
        if not hand.ending:
            hand.ending = True
            if hand in self.idle:
                self.idle.remove(hand)
            if hand.job is None:
                self.order(hand, PACKED_END)

    def statuses(self) -> list[WorkerStatus]:
        """Return what each worker is doing, by place."""
        now = time.monotonic()
        return [
            _status(hand, now) for hand in sorted(self, key=lambda hand: hand.index)
        ]


def _measure(hand: Hand) -> None:
    """Note the memory of a worker that does not tell it now, where it can be seen.

    It is in mid-task, or has ended none yet and is measured once. Should it be killed for
    want of memory, this is all that is known of it.
    """
    try:
        hand.rss = rss_kb_of(hand.pid) or hand.rss
    except OSError:  # it has ended, or this is not Linux
        return


def _status(hand: Hand, now: float) -> WorkerStatus:
    if hand.job is not None or not hand.rss:
        _measure(hand)
    job = hand.job  # once: the herald asks, and the loop goes on meanwhile
    status = WorkerStatus(
        index=hand.index,
        pid=hand.pid,
        state="ending" if hand.ending else "idle" if hand.ready else "starting",
        rss=hand.rss or None,
        done=hand.done,
    )
    if job is not None:
        status.state = "busy" if job.ended is None else "following up"
        status.task_id = job.task.id
        status.task_name = job.task.name
        status.func = job.task.func
        status.seconds = round(now - job.dealt, 3)
    return status
