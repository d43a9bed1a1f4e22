"""Joining: a task that says so becomes a member of its flow, before it is sent.

The rows are written in the transaction that sends the tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcore import RUN, Drop
from qcore.brokers.tools import placeholders
from qcore.envelope import Outcome
from qcore.errors import EnqueueError
from qcore.running import RUNNING

from .ending import over
from .option import OPTION, PLUGIN, RESENT, Membership, membership
from .repair import revive
from .steps.children import given_up
from .steps.options import spawned_by
from .tables import MEMBERS, lock, members, parts, place, touch, write

if TYPE_CHECKING:
    from qcore import Admission, Claim, NewTask

    from .models import FlowRow


#: What is written of a new member of a batch; the rest has the defaults of the table.
_COLUMNS = ("id", "flow_id", "number", "task_id", "name", "sent")


def join(tasks: Sequence[NewTask]) -> None:
    """Make new tasks members of their flows; those that are members already stay so.

    Raises:
        EnqueueError: the flow of one of them does not take it.
    """
    wanted: dict[str, list[NewTask]] = {}
    for new in tasks:
        wanted.setdefault(Membership(**new.options[OPTION]).flow_id, []).append(new)
        new.need(PLUGIN)
    locked = lock(wanted)
    known: set[str] = set()
    ledger = place()
    for part in parts(new.task.id for new in tasks):
        which = f"task_id IN ({placeholders(part)})"
        found = ledger.execute(f"SELECT task_id FROM {MEMBERS} WHERE {which}", part)
        known.update(id for (id,) in found)
    rows: list[tuple[object, ...]] = []
    now = ledger.now()
    for flow_id, those in wanted.items():
        flow = locked.get(flow_id)
        own = [new for new in those if new.task.id not in known]
        if own:
            own = _taken_over(flow, own)
        if own:
            rows += _added(flow, flow_id, own, now)
    ledger.insert(MEMBERS, _COLUMNS, rows)


def _added(
    flow: FlowRow | None, flow_id: str, own: Sequence[NewTask], now: float
) -> list[tuple[object, ...]]:
    """Return the rows of new members, as ``_COLUMNS`` says, and count them."""
    flow = _require_open(flow, flow_id, own[0])
    first, count = flow.total, len(own)
    flow.total, flow.pending = first + count, flow.pending + count
    flow.touched = max(flow.touched, now)
    write([flow], ("total", "pending", "touched"))
    return [
        (new.task.id, flow_id, number, new.task.id, new.task.func[:255], now)
        for number, new in enumerate(own, first)
    ]


def _require_open(flow: FlowRow | None, flow_id: str, new: NewTask) -> FlowRow:
    """Return a flow that takes new members from here.

    Raises:
        EnqueueError: it does not.
    """
    what = f"cannot send {new.task.func} in the batch or graph {flow_id}:"
    if flow is None:
        raise EnqueueError(f"{what} there is none of this id, or it was pruned.")
    if flow.cancelled is not None:
        raise EnqueueError(f"{what} it is cancelled.")
    if flow.kind != "batch":
        raise EnqueueError(f"{what} a graph is complete when it is sent.")
    if flow.sealed is None:
        return flow
    if not flow.pending:
        raise EnqueueError(f"{what} it has ended. Open a new Batch.")
    running = RUNNING.get()
    sender = membership(running[0]) if running is not None else None
    if sender is None or sender.flow_id != flow_id:
        raise EnqueueError(
            f"{what} it is sealed, as the block of its Batch is over. Only its own tasks"
            " may add to it while they run."
        )
    return flow


def _taken_over(flow: FlowRow | None, own: Sequence[NewTask]) -> list[NewTask]:
    """Let tasks that were sent again take the places of the failed ones; return the rest.

    A flow that has ended stays as it is: then such a task belongs to none.
    """
    again = {
        new.task.headers[RESENT]: new
        for new in own
        if new.task.headers and RESENT in new.task.headers
    }
    if not again:
        return list(own)
    rest = [new for new in own if new not in again.values()]
    if flow is None or not flow.pending:
        return rest
    failed = [
        row
        for part in parts(again)
        for row in members().filter(task_id__in=part, flow_id=flow.id)
        if row.outcome not in (None, "success")
    ]
    now = place().now()
    for row in failed:
        members().filter(pk=row.id).update(
            task_id=again[row.task_id].task.id, outcome=None, ended=None, sent=now
        )
    gone = sum(row.may_fail for row in failed)
    flow.failed, flow.tolerated = flow.failed - len(failed), flow.tolerated - gone
    flow.pending += len(failed)
    touch(flow, now)
    if failed and flow.kind == "graph":
        revive(flow)
    flow.save(update_fields=["failed", "tolerated", "skipped", "pending", "touched"])
    return rest


def admit(claims: Sequence[Claim]) -> list[Admission]:
    """Drop tasks that were given up: their flow, or their run, has gone on without them."""
    ids = [claim.task.id for claim in claims]
    why = {
        id: f"its batch or graph has counted it as {outcome!r} before"
        for id, outcome in over(ids).items()
    }
    if spawned := [claim.task.id for claim in claims if spawned_by(claim.task)]:
        for id in given_up(place(), spawned):
            why[id] = "the durable task that has spawned it has gone on without it"
    return [Drop(Outcome.CANCELLED, why[id]) if id in why else RUN for id in ids]
