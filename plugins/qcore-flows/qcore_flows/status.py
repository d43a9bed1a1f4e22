"""Status: what has become of flows and of their members, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcore.monitor.text import plural

from .tables import flows, members

if TYPE_CHECKING:
    from .models import FlowRow, MemberRow

#: The states of a flow.
STATES = ("open", "running", "succeeded", "failed", "cancelled")
#: Members read in one go.
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """How far a batch or a graph is. Moments are seconds since the epoch, or None."""

    id: str
    kind: str
    """"batch" or "graph"."""
    name: str
    state: str
    """"open" (its block is not over), "running", "succeeded", "failed" or "cancelled". The
    last three may have members that have not ended yet only where it was cancelled."""
    total: int
    """Members."""
    pending: int
    """Members that have not ended."""
    succeeded: int
    failed: int
    """Members that ended in another way; those whose failure is tolerated, too."""
    skipped: int
    """Nodes that never run, because one that they wait for has failed."""
    created: float
    completed: float | None
    """When all had ended for the first time."""
    problem: str
    """Why a callback could not be sent; mostly empty."""

    @property
    def done(self) -> int:
        """How many members have ended."""
        return self.total - self.pending

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return self.done / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """What has become of a member. Moments are seconds since the epoch, or None."""

    id: str
    """Of the member, which stays."""
    task_id: str
    """Of the task that it is now: another one after each retry."""
    name: str
    state: str
    """"waiting" (for other nodes), "sent", or how it has ended: an outcome of tasks,
    "skipped" or "lost"."""
    sent: float | None
    ended: float | None
    number: int
    """Its place in the flow, from 0."""


def of_row(row: FlowRow) -> FlowStatus:
    """Return the status of a flow."""
    return FlowStatus(
        id=row.id,
        kind=row.kind,
        name=row.name,
        state=_state(row),
        total=row.total,
        pending=row.pending,
        succeeded=row.total - row.pending - row.failed - row.skipped,
        failed=row.failed,
        skipped=row.skipped,
        created=row.created,
        completed=row.completed,
        problem=row.problem,
    )


def _state(row: FlowRow) -> str:
    if row.cancelled is not None:
        return "cancelled"
    if row.sealed is None:
        return "open"
    if row.pending:
        return "running"
    return "failed" if row.failed > row.tolerated or row.skipped else "succeeded"


def of_member(row: MemberRow) -> MemberStatus:
    """Return the status of a member."""
    return MemberStatus(
        id=row.id,
        task_id=row.task_id,
        name=row.name,
        state=row.outcome or ("waiting" if row.sent is None else "sent"),
        sent=row.sent,
        ended=row.ended,
        number=row.number,
    )


def list_members(
    flow_id: str, *, failed: bool = False, first: int = 0, limit: int | None = None
) -> Iterator[MemberStatus]:
    """Yield the members of a flow in their order.

    Args:
        flow_id: of the flow.
        failed: only those that ended, and did not succeed.
        first: the number of the first one.
        limit: how many at most; None: all.
    """
    rows = members().filter(flow_id=flow_id, number__gte=first).order_by("number")
    if failed:
        rows = rows.exclude(outcome=None).exclude(outcome="success")
    return (of_member(row) for row in rows[:limit].iterator(chunk_size=_CHUNK))


def list_flows(limit: int = 100, *, before: str = "") -> list[FlowStatus]:
    """Return the newest flows, the newest first.

    Args:
        limit: how many at most.
        before: an id: only flows whose ids are lower, so older ones; "": all.
    """
    rows = flows()
    if before:
        rows = rows.filter(pk__lt=before)
    # ids ascend in time, and have the index of the primary key
    return [of_row(row) for row in rows.order_by("-pk")[:limit]]


def find(flow_id: str) -> FlowRow | None:
    """Return the row of a flow; None: there is none, or it was pruned."""
    return flows().filter(pk=flow_id).first()


def members_are(count: int) -> str:
    """Return ``1 member is`` or ``2 members are``, the begin of a sentence."""
    return f"{plural(count, 'member')} {'is' if count == 1 else 'are'}"
