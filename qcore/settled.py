"""Settled: what has become of one delivery of a task, and what its ticket says.

The recorder makes a ``Settled`` of each delivery whose task uses the ledger. The ledger
writes it down in the transaction of the result, before the delivery is acknowledged.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from .envelope import Outcome, Result, Task


class Settled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What has become of one delivery of a task.

    For a task that has ended, exactly one final ``Settled`` is written down. After a lost
    acknowledgement the same one may come twice.
    """

    task: Task
    outcome: str
    """One of ``qcore.envelope.Outcome``: how this attempt has ended."""
    final: bool
    """Whether the task has ended: it is never run again."""
    again: float | None = None
    """Seconds until the task comes again; None where it does not."""
    unstarted: bool = False
    """Whether the delivery was given back before the task had begun."""
    start: int = 0
    """Which start of the task this delivery was, see ``Claim.start``; 0: it was not let run,
    and holds nothing. What another start holds is not affected by this end."""
    result: Result | None = None
    """How the attempt has ended, with its value. None where the delivery was given back, or
    where an earlier delivery has stored the result: ``current.results`` has that one."""

    @property
    def gen(self) -> int:
        """How often the task was sent again, as a new package."""
        return self.task.gen


class Follower(NamedTuple):
    """A package that is sent because of a result: one row of the outbox."""

    queue: str
    task_id: str
    package: bytes
    gen: int
    delay: float | None  # seconds before the relay sends it; None: it is never due
    is_sent_by_writer: bool = False  # at once, after the commit
    #: the plugin that holds it: the task is parked until that plugin wakes it, or until
    #: ``delay`` is over
    held_by: str | None = None


#: Who holds the row of the task that follows an ``async_iter``, where else the name of a
#: plugin stands.
ITERS = "async_iter"

#: What stands after the name of a plugin in rows of tasks that it has suspended.
_SUSPENDED = ":suspended"


def suspended_by(plugin: str) -> str:
    """Return the holder of a row whose task a plugin has suspended.

    Args:
        plugin: the name of its entry point.
    """
    return f"{plugin}{_SUSPENDED}"


def is_suspended(held_by: str | None) -> bool:
    """Whether the row of a holder is that of a suspended task, and not of a parked one."""
    return held_by is not None and held_by.endswith(_SUSPENDED)


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A ``Settled`` with what the ledger must write for it."""

    settled: Settled
    has_ticket: bool = False
    """Whether the task has, or gets, a ticket. False: only its followers are written."""
    found: bool = False
    """Whether the task had a ticket when this delivery was claimed."""
    runs: int = 0
    """Attempts of the task that count so far, this one included."""
    moves: bool = False
    """Whether the task is sent again as a new package: its gen rises by one."""
    followers: tuple[Follower, ...] = ()


class TicketState(NamedTuple):
    """What the ticket of a task says; see ``qcore.models.Ticket``."""

    gen: int = 0
    starts: int = 0
    runs: int = 0
    final: str | None = None
    cancelled: float | None = None

    def cancels(self, gen: int) -> bool:
        """Whether a package of the task is not to be run, because somebody has cancelled it.

        Args:
            gen: of the package. One of a higher gen than it has is the valid one.
        """
        return self.cancelled is not None and self.final is None and gen >= self.gen

    def after(self, settlement: Settlement) -> TicketState | None:
        """Return what the ticket says after a settlement; None: the settlement is void.

        The first final outcome wins. A success ends the task whatever its gen: the work is
        done. Everything else is void with a lower gen than that of the ticket, because such a
        package is not the valid one any more. A higher gen than the ticket's is that of a
        package which is younger than the database, which was restored from a backup. What was written before, and comes again because
        nobody heard of the commit, changes nothing and is not void.
        """
        settled = settlement.settled
        if self.final is not None:
            same = self.final == settled.outcome and settled.final
            return self if same else None
        if settled.outcome != Outcome.SUCCESS and settled.gen < self.gen:
            return None
        if settled.final:
            return self._replace(final=settled.outcome)
        if settlement.moves:
            # the broker counts anew; where plugins are asked, a start is a fencing token
            starts = self.starts if settled.task.needs else 0
            return self._replace(
                gen=settled.gen + 1, starts=starts, runs=settlement.runs
            )
        return self
