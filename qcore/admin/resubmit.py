"""Sending a stored task again, from what its row says; nothing is decoded."""

from __future__ import annotations

import time

from ..envelope import Task as Envelope
from ..envelope import new_id
from ..errors import EnqueueError
from ..models import Task
from ..results import content as contents
from ..results.rows import options_from
from ..runtime import current
from ..tasks.allowed_tasks import refusal
from ..tasks.sending import send


def resubmit(row: Task) -> str:
    """Send the call of a stored result again and return the new task's id.

    Function, arguments, hook, group, cluster, options and what is left of a chain are
    those of the row. The package is signed anew, so what this project would not have
    sent is refused: a row may have been written by somebody else.

    Raises:
        EnqueueError: it cannot be sent.
        BrokerError: it was not sent.
    """
    conf = current.conf
    if row.content == contents.JOINED or _is_joined(row):
        raise EnqueueError(
            f"{row} is the joined result of several calls. Send its calls again with"
            " async_iter."
        )
    if row.content not in conf.accept_content:
        raise EnqueueError(
            f"the arguments of {row} are {row.content!r}, this project accepts"
            f" {', '.join(conf.accept_content)}."
        )
    task = Envelope(
        id=new_id(),
        name=row.name,
        func=row.func,
        queue=row.cluster or conf.queue,
        created=time.time(),
        content=row.content,
        body=contents.to_bytes(row.payload, row.content),
        group=row.group,
        hook=row.hook,
        options=options_from(row.options),
        iter_index=row.iter_index,
        iter_count=row.iter_count,
        links=row.links,
    )
    if (refused := refusal(task, conf)) is not None:
        raise EnqueueError(refused)
    # Not on commit: the row may only go once the task is with the broker.
    send([task], commit="now")
    return task.id


def _is_joined(row: Task) -> bool:
    # an async_iter's joined result has the id of its group
    return bool(row.group == row.id)
