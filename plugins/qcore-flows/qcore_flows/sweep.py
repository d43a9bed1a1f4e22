"""The sweep: finds members that nobody holds any more, counts anew, and prunes old flows.

Several clusters sweep at the same time; each flow is looked at under the lock of its row.
"""

from __future__ import annotations

import logging

from qcore.envelope import Outcome
from qcore.runtime import current
from qcore.tasks.control import paused

from .ending import LOST, Ended, end
from .models import EdgeRow, FlowRow, MemberRow
from .repair import give_up, recount
from .settings import seconds
from .tables import flows, lock, members, parts, place
from .whereabouts import whereabouts

logger = logging.getLogger("qcore.flows")

#: Seconds between two sweeps.
EVERY = 60.0
#: Flows that one sweep looks at; those that it deletes; and members that it looks for in a
#: flow, the oldest first.
_FLOWS, _PRUNED, _MEMBERS = 20, 20, 1000


def sweep(now: float) -> float:
    """Look at flows that rest, and delete those that ended long ago; return the pause."""
    more = _prune(now - seconds("keep"))
    rests = flows().filter(completed=None, touched__lt=now - seconds("lost_after"))
    # a flow with completed set may have members that are tried again
    again = flows().filter(pending__gt=0, touched__lt=now - seconds("lost_after"))
    ids = list(
        (rests | again).order_by("touched").values_list("pk", flat=True)[:_FLOWS]
    )
    if ids and not paused():  # what waits in a queue that is paused is not lost
        place().each(ids, _look_at, failed=_put_last)
    return 0.0 if more else EVERY


def _put_last(flow_id: str) -> None:
    """Put a flow at the end of the line that cannot be looked at.

    Else the oldest ones of that kind would keep the sweep from all others.
    """
    logger.error("the flow %s cannot be looked at", flow_id)
    flows().filter(pk=flow_id).update(touched=place().now())


def _look_at(flow_id: str) -> None:
    """Find out what has become of the members of a flow that has rested for long."""
    flow = flows().filter(pk=flow_id).first()
    if flow is None:
        return
    if flow.sealed is None:
        logger.warning("%s %s (%r) is cancelled: its block has not ended, and its process is gone or"
                       " hangs", flow.kind, flow.id, flow.name)  # fmt: skip
        give_up(flow_id)
        return
    rows = members().filter(flow_id=flow_id, outcome=None).exclude(sent=None)
    waiting = list(rows.order_by("number")[:_MEMBERS])
    found = whereabouts([row.task_id for row in waiting])
    taken = [row.task_id for row in waiting if row.is_taken]
    values = current.results.finished(
        [id for id in taken if found.get(id) == Outcome.SUCCESS]
    )

    def work() -> None:
        locked = lock([flow_id])
        if flow_id not in locked:
            return
        recount(locked[flow_id])
        # a member that was sent again meanwhile is another task
        left = [
            row
            for part in parts(row.task_id for row in waiting)
            for row in members().filter(task_id__in=part, outcome=None)
            if found.get(row.task_id, LOST)
        ]
        # the next look comes after as long a rest
        flows().filter(pk=flow_id).update(touched=place().now())
        if left:
            end(
                locked,
                [
                    Ended(row, found.get(row.task_id, LOST), values.get(row.task_id))
                    for row in left
                ],
            )
            logger.warning("%d members of %s %s had ended or were lost unnoticed",
                           len(left), flow.kind, flow.id)  # fmt: skip

    place().run(work)


def _prune(before: float) -> bool:
    """Delete flows that ended before a moment; return whether there may be more."""
    old = flows().exclude(completed=None).filter(touched__lt=before, pending=0)
    ids = list(old.order_by("touched").values_list("pk", flat=True)[:_PRUNED])
    database = place().database

    def work() -> None:
        gone = [
            flow.id
            for flow in lock(ids).values()
            if flow.touched < before and not flow.pending
        ]
        for model in (EdgeRow, MemberRow):
            rows = model.objects.using(database).filter(flow_id__in=gone)
            rows._raw_delete(database)  # noqa: SLF001 - nothing hangs on them; no SELECT of them
        FlowRow.objects.using(database).filter(pk__in=gone).delete()

    if ids:
        place().run(work)
    return len(ids) == _PRUNED
