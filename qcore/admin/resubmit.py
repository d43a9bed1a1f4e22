"""Sending a stored task again, from what its row says; nothing is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..results.content import JOINED
from ..results.rows import task_of_row
from ..tasks.resending import require_accepted, send_copy

if TYPE_CHECKING:
    from ..models import Task
    from ..results.base import ResultStore
    from ..results.rows import Row


def resubmit(row: Task, store: ResultStore | None = None) -> str:
    """Send the call of a stored result again and return the new task's id.

    Function, arguments, hook, group, cluster, options and what is left of a chain are
    those of the row. What this project would not have sent is refused: a row may have
    been written by somebody else.

    Args:
        row: of the result.
        store: that has the row: of two callers, one sends a failed task again. None: the
            caller sees to that.

    Raises:
        CallError: somebody else has sent it again.
        StoreRefused: the row is damaged, or the joined result of several calls.
        EnqueueError: it cannot be sent.
        BrokerError: it was not sent.
    """
    if row.content != JOINED:
        require_accepted(row.content, str(row))
    # the columns of the table are the fields of a row
    return send_copy(task_of_row(cast("Row", row)), store)
