"""Callbacks: what is sent when a flow is complete, has succeeded, or first fails.

Each is decided once, in the transaction of the end that is the reason, with the row of
the flow locked; and the callback is a row of the outbox of that transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from django.db import transaction

from qcore.clock import wall
from qcore.masking import mask_url
from qcore.printable import printable
from qcore.runtime import current

from .models import FlowRow
from .tables import NEVER_SENT, place

if TYPE_CHECKING:
    from qcore import Task

logger = logging.getLogger("qcore.flows")

#: What of a flow is written after its counts have changed.
CHANGED = (
    "pending", "failed", "tolerated", "skipped", "touched",
    "completed", "succeeded", "first_failure",
)  # fmt: skip


def decide(flow: FlowRow, now: float) -> list[str]:
    """Note what has become of a flow by its counts; return the callbacks that are due.

    Args:
        flow: locked; it is changed, and not saved.
        now: seconds since the epoch, by the clock of the ledger.
    """
    if flow.sealed is None:
        return []  # its callbacks are not known yet
    due = []
    has_failed = flow.failed > flow.tolerated or flow.skipped > 0
    if has_failed and flow.first_failure is None and flow.cancelled is None:
        flow.first_failure = now
        due.append("on_first_failure")
    if flow.pending:
        return due
    if flow.completed is None:
        flow.completed = now
        due.append("on_complete")
    if not has_failed and flow.succeeded is None and flow.cancelled is None:
        flow.succeeded = now
        due.append("on_success")
    return due


def send_due(flow_id: str, due: Sequence[str]) -> None:
    """Send callbacks with the commit of the transaction that is open.

    One that can never be sent is noted in the row of the flow: it must not keep the ends
    of tasks from being recorded.
    """
    if not due:
        return
    rows = FlowRow.objects.using(place().database).filter(pk=flow_id)
    for name, package in zip(due, rows.values_list(*due).get(), strict=True):
        if package is None:
            continue
        try:
            task = fresh(current.signer.verify(bytes(package)))
            with transaction.atomic(place().database):
                skipped = place().send([task])
        except NEVER_SENT as error:
            logger.error(
                "%s of batch or graph %s is not sent: %s", name, flow_id, error
            )
            problem = f"{name} is not sent: {mask_url(str(error))}"
            rows.update(problem=printable(problem)[:1000])
        else:
            if skipped:
                logger.info(
                    "%s of batch or graph %s is not sent: a plugin skips it",
                    name,
                    flow_id,
                )


def fresh(task: Task, **changes: object) -> Task:
    """Return a task that was made earlier as if it were made now."""
    now = wall()
    expires = None if task.expires is None else now + (task.expires - task.created)
    again: Task = msgspec.structs.replace(
        task, created=now, expires=expires, gen=0, relayed=False, needs=(), **changes
    )
    return again
