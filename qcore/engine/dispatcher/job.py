"""Runs in: the dispatcher. A job: one delivery, from its claim to its acknowledgement."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ...envelope import Attempt, Delivery, Outcome, Result, Task
from ...settled import TicketState
from ..wire.messages import pack_follow_up, pack_run
from .lifecycle import AFTER, JobState, report_illegal

if TYPE_CHECKING:
    from .retries import Decision

#: Workers that the hook of one task may kill. After that many, the hook is given up, and
#: what else follows from the task is done without the hook.
MAX_HOOK_CRASHES = 2


#: Seconds without a renewal after which what a job holds counts as lost, and its worker is
#: killed: before the term of 60 seconds is over, by a clock of another machine, with time
#: for the kill and for a slow transaction.
HELD = 40.0


class KillReason(StrEnum):
    """Why the worker of a job was killed, or told to stop."""

    TIMEOUT = "timeout"  # the job was over its time
    STOP = "stop"  # the cluster stops
    LOST = "lost"  # the lease of the job was lost, or what it holds
    HUNG = "hung"  # the worker did not read its order
    CANCEL = "cancel"  # somebody has cancelled the task
    CLOSED = "closed"  # the worker's socket was closed, or written on, by its task


class Move(NamedTuple):
    """The next package of a task."""

    package: bytes
    delay: float | None  # seconds before it is sent; None: not before it is woken
    runs: int  # attempts of the task that count by then
    held_by: str | None = None  # who holds its row of the outbox


@dataclass(slots=True)
class LedgerPart:
    """What a job has to do with the ledger; a plain one has none."""

    ticket: TicketState | None = None  # as it was at the claim; None: there was none
    #: what holds the row of its next link in the outbox, until that is sent
    token: str | None = None
    written_at: float = 0.0  # monotonic: when that row was written
    link_sent: bool = False  # the next link was sent in the transaction of the result
    move: Move | None = None  # by which the task is sent again
    #: which start of its task the job is, where plugins have let it run; else 0
    start: int = 0
    #: claims of its package by clusters that can read it; 0: what the broker counts holds
    claims: int = 0
    holds: bool = False  # whether plugins renew what it holds
    renewed_at: float = 0.0  # monotonic: before what it holds was taken, or renewed

    def is_late(self, now: float) -> bool:
        """Whether what the job holds was not renewed for so long that it may be lost."""
        return self.holds and now - self.renewed_at >= HELD


@dataclass(slots=True, eq=False)
class Job:
    """A delivery that this cluster holds.

    A job belongs to one thread after the other: pusher, loop, recorder, and perhaps
    the loop and the recorder once more for its follow-up. The thread that renews leases
    changes only ``lease_end`` and ``lost``. A lost job stays lost.
    """

    task: Task
    delivery: Delivery
    state: JobState = JobState.CLAIMED
    lease_end: float = field(init=False)  # monotonic; moves with every renewal
    lost: bool = False  # its lease has ended, and somebody else may have it
    assigned_at: float = 0.0  # monotonic, when a worker got it
    number: int = 0  # among the orders of the worker that has it
    ended: Attempt | None = None  # set from its first end on
    result: Result | None = None
    decision: Decision | None = None  # what becomes of its delivery, once it has ended
    again: float | None = (
        None  # seconds until its task comes again, where that is known
    )
    notes: int = 0  # how often a note had to take the place of its result
    #: whether its result was refused just now, for a reason that may have passed
    doubted: bool = False
    cuts: int = 0  # how often, one after the other, a store said of it alone "away"
    killed: KillReason | None = None  # why its worker was, or is about to be
    follow_up_crashes: int = 0
    next_package: bytes | None = None  # the next link of its chain
    cancelled: bool = False  # somebody has cancelled its task (control)
    ledger: LedgerPart | None = None
    unstarted: bool = False  # it is given back before a worker has begun it
    #: whether its result is stored, and its delivery is still to be acknowledged
    is_open: bool = False

    def __post_init__(self) -> None:
        self.lease_end = self.delivery.lease_end

    def move(self, state: JobState) -> None:
        """Note where the job stands now. The owner of that place calls this; see ``OWNERS``."""
        if state not in AFTER[self.state]:
            report_illegal(self.task.id, self.state, state)
        self.state = state

    @property
    def receipt(self) -> Hashable:
        """The broker's handle."""
        return self.delivery.receipt

    @property
    def attempt(self) -> int:
        """Which attempt at the task this is, from 1: with those of its earlier packages.

        The deliveries of a task that needs plugins do not count: its starts do. Of a package
        that release 2.0 may have given back, its claims by other clusters count.
        """
        if self.ledger is None:
            return self.delivery.attempt  # nearly always
        ticket = self.ledger.ticket
        earlier = ticket.runs if ticket is not None else 0
        if self.task.needs:
            return earlier if self.ledger.start else earlier + 1
        return (self.ledger.claims or self.delivery.attempt) + earlier

    @property
    def ended_before(self) -> int:
        """Attempts that have ended: those of earlier packages of its task."""
        ticket = self.ledger.ticket if self.ledger is not None else None
        return ticket.runs if ticket is not None and not self.task.needs else 0

    @property
    def start(self) -> int:
        """Which start of its task the job is; 0: plugins have not let it run."""
        return self.ledger.start if self.ledger is not None else 0

    @property
    def has_outbox_row(self) -> bool:
        """Whether its next link is a row of the outbox, which its recorder wrote."""
        return self.ledger is not None and self.ledger.token is not None

    @property
    def has_ticket(self) -> bool:
        """Whether its task has a ticket, or gets one at the latest with its end."""
        task = self.task
        return (
            task.relayed
            or task.gen > 0
            or bool(task.needs)
            or (
                self.ledger is not None
                and (self.ledger.ticket is not None or self.ledger.move is not None)
            )
        )

    def order(self) -> bytes:
        """Return the order for a worker: to run the task, or to do its follow-up."""
        if self.ended is None:
            delivery = self.delivery
            # nearly always without the call of a property
            attempt = delivery.attempt if self.ledger is None else self.attempt
            return pack_run(delivery.package, attempt, self.number)
        return pack_follow_up(
            self.delivery.package,
            self.attempt,
            self.number,
            self.ended,
            hook=not self.hook_is_given_up,
            final=self.result is None or self.result.final,
            link=self.owes_link,
        )

    @property
    def hook_is_given_up(self) -> bool:
        """Whether the hook has killed so many workers that it is not called again."""
        return self.follow_up_crashes >= MAX_HOOK_CRASHES

    @property
    def owes_link(self) -> bool:
        """Whether its chain goes on, and the package of the next link is not made yet."""
        return (
            self.task.links > 0
            and self.next_package is None
            and (self.ledger is None or not self.ledger.link_sent)
            and self.ended is not None
            and self.ended.outcome == Outcome.SUCCESS
        )

    def end_as_cancelled(self) -> Attempt:
        """Keep, and return, the end of a task that was cancelled while it waited."""
        self.ended = Attempt.cancelled()
        return self.ended

    def ended_by_death(self, how: str) -> Attempt:
        """Keep, and return, the end of this attempt: its worker has died."""
        if self.killed is KillReason.TIMEOUT:
            outcome = Outcome.TIMEOUT
            text = f"TaskTimeout: it did not end by itself after its timeout; {how}"
        elif self.killed is KillReason.CANCEL:
            outcome = Outcome.CANCELLED
            text = (
                f"TaskCancelled: it did not end by itself when it was cancelled; {how}"
            )
        elif self.killed is KillReason.CLOSED:
            outcome = Outcome.CRASH
            text = (
                "WorkerDied: the task closed its worker's connection to the cluster or"
                f" wrote on this connection, so the worker was killed: {how}"
            )
        else:
            outcome = Outcome.CRASH
            text = f"WorkerDied: the worker died under the task: {how}"
        now = time.time()
        started = now - (time.monotonic() - self.assigned_at)
        self.ended = Attempt.failed(outcome, text, started, now)
        return self.ended
