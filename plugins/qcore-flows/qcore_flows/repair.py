"""Repair: cancel members of a flow, or send them again, as somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec
from django.db.models import Q

from qcore.conf.names import shown
from qcore.envelope import Outcome, Task, new_ids
from qcore.errors import CallError, PackageError
from qcore.runtime import current
from qcore.tasks.control import cancel as cancel_tasks

from .callbacks import CHANGED, decide, fresh, send_due
from .ending import SKIPPED, Ended, end, send_ready
from .models import FlowRow, MemberRow
from .option import RESENT
from .tables import below, children_of, flows, lock, members, parts, place, touch

#: Rows in one UPDATE that writes other values into each.
_ROWS = 50


def _locked(flow_id: str) -> FlowRow:
    flow = lock([flow_id]).get(flow_id)
    if flow is None:
        raise CallError(
            f"there is no batch or graph {flow_id}, or it ended long ago and was pruned."
        )
    return flow


# -- cancelling --------------------------------------------------------------------------
def cancel(flow_id: str) -> int:
    """Cancel the members of a flow that have not ended; return how many they are.

    Raises:
        CallError: there is no such flow.
    """

    def work() -> int:
        flow = _locked(flow_id)
        if flow.cancelled is None and (flow.pending or flow.sealed is None):
            flow.cancelled = place().now()
            flow.save(update_fields=["cancelled"])
        return _cancel(flow, members().filter(flow_id=flow_id, outcome=None))

    return place().run(work)


def cancel_members(flow_id: str, ids: Iterable[str], *, and_below: bool = False) -> int:
    """Cancel some members of a flow, and all that wait for them if asked; return how many."""

    def work() -> int:
        flow = _locked(flow_id)
        wanted = _known(flow_id, ids)
        if and_below:
            wanted |= below(wanted, children_of(flow_id))
        rows = [
            row
            for part in parts(wanted)
            for row in members().filter(pk__in=part, flow_id=flow_id, outcome=None)
        ]
        return _cancel(flow, rows)

    return place().run(work)


def _known(flow_id: str, ids: Iterable[str]) -> set[str]:
    """Return the ids of members of a graph, each given by its own or that of its task now.

    Raises:
        CallError: one of them is no member of the graph.
    """
    wanted = set(ids)
    named: dict[str, str] = {}
    for part in parts(wanted):
        which = Q(pk__in=part) | Q(task_id__in=part)
        rows = members().filter(which, flow_id=flow_id)
        for id, task_id in rows.values_list("pk", "task_id"):
            named |= {id: id, task_id: id}
    if strange := wanted - named.keys():
        raise CallError(
            f"{shown(min(strange))} is no member of the graph {flow_id}: expected a node of"
            " it, or the id of one."
        )
    return {named[id] for id in wanted}


def give_up(flow_id: str) -> None:
    """Seal a batch whose maker has failed: what was sent is cancelled, and nothing follows."""

    def work() -> None:
        flow = _locked(flow_id)
        now = place().now()
        flow.sealed = flow.cancelled = flow.touched = now
        if not flow.pending:
            flow.completed = now
        flow.save(update_fields=["sealed", "cancelled", "touched", "completed"])
        _cancel(flow, members().filter(flow_id=flow_id, outcome=None))

    place().run(work)


def _cancel(flow: FlowRow, rows: Iterable[MemberRow]) -> int:
    unsent: list[Ended] = []
    sent: list[str] = []
    for row in rows:
        if row.sent is None:
            unsent.append(Ended(row, str(Outcome.CANCELLED)))
        else:
            sent.append(row.task_id)
    if unsent:
        end({flow.id: flow}, unsent)
    if sent:
        cancel_tasks(sent)
    return len(unsent) + len(sent)


# -- sending again -------------------------------------------------------------------------
def retry(flow_id: str) -> int:
    """Send the failed members of a flow again; return how many they are.

    Raises:
        CallError: there is no such flow.
    """
    return place().run(
        lambda: _retry(flow_id, lambda rows: [r for r in rows if _failed(r)])
    )


def retry_members(flow_id: str, ids: Iterable[str], *, and_below: bool = False) -> int:
    """Send some members again that have ended, and all that wait for them if asked."""

    def chosen(rows: Sequence[MemberRow]) -> list[MemberRow]:
        wanted = _known(flow_id, ids)
        children = children_of(flow_id)
        meant = wanted | (below(wanted, children) if and_below else set())
        stopped = below(_stopping(rows, meant), children)
        some = []
        for row in rows:
            if row.id not in meant:
                continue
            if row.outcome == SKIPPED and row.id in stopped:
                if row.id in wanted:
                    raise CallError(
                        f"{row.name} of graph {flow_id} was skipped, for what it waits for"
                        " has failed: retry that one, and this one waits for it again."
                    )
                continue  # something else below which it stands has failed, too
            some.append(row)
            if row.outcome is None and row.id in wanted:
                raise CallError(
                    f"{row.name} of graph {flow_id} has not ended: cancel it first."
                )
            if row.outcome is None and row.sent is not None:
                raise CallError(
                    f"{row.name} of graph {flow_id}, which waits for what is to be tried"
                    " again, runs or waits in its queue: cancel it first."
                )
        return [row for row in some if row.outcome is not None]

    return place().run(lambda: _retry(flow_id, chosen))


def _failed(row: MemberRow) -> bool:
    return row.outcome is not None and row.outcome not in (Outcome.SUCCESS, SKIPPED)


def _stopping(rows: Sequence[MemberRow], again: Collection[str] = ()) -> list[str]:
    """Return the nodes below which nothing runs, less those that are to run again."""
    return [
        row.id
        for row in rows
        if _failed(row) and not row.may_fail and row.id not in again
    ]


def _retry(
    flow_id: str, choose: Callable[[Sequence[MemberRow]], list[MemberRow]]
) -> int:
    flow = _locked(flow_id)
    now = place().now()
    every = MemberRow.objects.using(place().database).filter(flow_id=flow_id)
    if flow.kind == "batch":
        every = every.exclude(outcome=None).exclude(outcome=Outcome.SUCCESS)
    rows = list(every.defer("value").order_by("number"))
    again = [row for row in choose(rows) if row.package is not None]
    if not again:
        return 0
    before = {row.id: row.task_id for row in again}
    for row, task_id in zip(again, new_ids(len(again)), strict=True):
        row.task_id, row.outcome, row.ended, row.sent = task_id, None, None, None
    changed = {row.id: row for row in again}
    if flow.kind == "graph":
        changed |= {row.id: row for row in _revived(flow_id, rows)}
    members().bulk_update(
        list(changed.values()), ("task_id", "outcome", "ended", "sent", "waits"), _ROWS
    )
    _recount(flow)
    flow.cancelled = None
    touch(flow, now)
    due = decide(flow, now)
    flows().filter(pk=flow_id).update(
        cancelled=None, **{name: getattr(flow, name) for name in CHANGED}
    )
    send_due(flow_id, due)
    _send_again(flow, again, before, now)
    return len(again)


def _revived(flow_id: str, rows: Sequence[MemberRow]) -> list[MemberRow]:
    """Let nodes wait again that nothing stops any more; count what each waits for."""
    children = children_of(flow_id)
    stopped = below(_stopping(rows), children)
    changed = []
    for row in rows:
        if row.outcome == SKIPPED and row.id not in stopped:
            row.outcome = row.ended = None
            changed.append(row)
    by_id = {row.id: row for row in rows}
    waits = dict.fromkeys(by_id, 0)
    for parent, those in children.items():
        if by_id[parent].outcome is None:
            for child in those:
                waits[child] += 1
    for row in rows:
        if row.sent is None and row.outcome is None and row.waits != waits[row.id]:
            row.waits = waits[row.id]
            changed.append(row)
    return changed


def revive(flow: FlowRow) -> None:
    """Let the nodes below those that run again wait for them; count the locked flow anew.

    What has been sent already goes on.
    """
    rows = list(members().filter(flow_id=flow.id).order_by("number"))
    changed = {row.id: row for row in _revived(flow.id, rows)}
    members().bulk_update(list(changed.values()), ("outcome", "ended", "waits"), _ROWS)
    _recount(flow)


def _send_again(
    flow: FlowRow, again: Sequence[MemberRow], before: dict[str, str], now: float
) -> None:
    """Sign the tasks under their new ids, and send those that wait for nothing."""
    broken: list[Ended] = []
    for row in again:
        try:
            task = current.signer.verify(bytes(row.package or b""))
        except PackageError:
            broken.append(Ended(row, str(Outcome.FAILURE)))
            continue
        row.package = current.signer.sign(_resent(task, row, before[row.id]))
    members().bulk_update(again, ("package",), _ROWS)
    gone = {one.member.id for one in broken}
    broken += send_ready([row.id for row in again if row.id not in gone], now)
    if broken:
        end({flow.id: flow}, broken)


def _resent(task: Task, row: MemberRow, before: str) -> Task:
    headers = {**(task.headers or {}), RESENT: before}
    again = fresh(task, id=row.task_id)
    return msgspec.structs.replace(again, headers=headers)


# -- counting anew ---------------------------------------------------------------------------
def _recount(flow: FlowRow) -> bool:
    """Set the counts of a flow by its members; return whether they were wrong."""
    from django.db.models import Count

    counts = {"total": 0, "pending": 0, "failed": 0, "tolerated": 0, "skipped": 0}
    groups = (
        members()
        .filter(flow_id=flow.id)
        .order_by()
        .values_list("outcome", "may_fail")
        .annotate(n=Count("pk"))
    )
    for outcome, may_fail, n in groups:
        counts["total"] += n
        if outcome is None:
            counts["pending"] += n
        elif outcome == SKIPPED:
            counts["skipped"] += n
        elif outcome != Outcome.SUCCESS:
            counts["failed"] += n
            counts["tolerated"] += n if may_fail else 0
    wrong = any(getattr(flow, name) != n for name, n in counts.items())
    for name, n in counts.items():
        setattr(flow, name, n)
    return wrong


def recount(flow: FlowRow) -> bool:
    """Set the counts of a locked flow by its members, and decide what follows.

    Returns:
        Whether the counts were wrong.
    """
    wrong = _recount(flow)
    now = place().now()
    due = decide(flow, now)
    if wrong or due:
        flow.touched = now
        flows().filter(pk=flow.id).update(
            total=flow.total, **{name: getattr(flow, name) for name in CHANGED}
        )
        send_due(flow.id, due)
    return wrong
