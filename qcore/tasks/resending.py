"""Resend: sends finished tasks again, each as a new task.

The new task has the function, the arguments, the options, the hook and the group of the old
one, a new id, and the header ``resent_from`` with the old id. What is left of the chain of a
task that failed goes with it; after a success the next link was sent, and is not sent again.
It is a task like all others: plugins are asked about it, and its attempts begin at 1.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from ..brokers.tools import chunks
from ..clock import Clock
from ..envelope import RESENT_FROM, Task, new_id
from ..errors import BrokerError, CallError, EnqueueError, QcoreError, StoreError
from ..runtime import current
from .allowed_tasks import refusal
from .loops import refuse_in_loop
from .sending import send
from .task_ids import require_id, required_ids

if TYPE_CHECKING:
    from ..results.base import ResultStore

logger = logging.getLogger("qcore.sending")

#: Tasks that are read and sent together.
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Resent:
    """Whether a task was sent again, and as which new task."""

    id: str
    """Of the task that was to be sent again."""
    new_id: str | None
    """Of the new task; None: it was not sent, or nobody knows. Where a plugin found that
    another task takes its place, the id of that one."""
    error: QcoreError | None = None
    """Why it was not sent; or why the old result, which was to go, is still there."""
    succeeded: bool = False
    """Whether the task had succeeded: then it was done, and is done once more now. Its old
    result stays."""


def resend(task_id: str) -> str:
    """Send a finished task again, as a new task.

    The stored result of a task that failed is deleted then; the new task has its own. The
    result of a success stays. The task is sent at once, even inside a transaction.

    Args:
        task_id: the id of the task, not its name.

    Returns:
        The id of the new task.

    Raises:
        CallError: the id is not valid, no result has it, or an event loop would wait: see
            ``aresend``.
        EnqueueError: the task cannot be sent again, such as the joined result of an
            ``async_iter``, or one with a serializer that the project does not accept.
        BrokerError: the task was not sent, or the broker did not say whether it was.
        StoreError: the result cannot be read.
    """
    refuse_in_loop("resend", "aresend")
    require_id(task_id, "resend")
    (one,) = _resent([task_id])
    if one.new_id is not None:
        return one.new_id
    assert one.error is not None
    raise one.error


def resend_many(task_ids: Iterable[str]) -> list[Resent]:
    """Send finished tasks again; one that cannot be sent does not stop the others.

    Args:
        task_ids: the ids of the tasks; each task is sent once.

    Returns:
        What became of each of them, in their order; see ``resend``.

    Raises:
        CallError: one of the ids is not valid; nothing was sent. Or an event loop would wait:
            see ``aresend_many``.
    """
    refuse_in_loop("resend_many", "aresend_many")
    ids = required_ids(task_ids, "resend_many")
    return [one for part in chunks(ids, _BATCH) for one in _resent(part)]


def send_copy(task: Task, store: ResultStore | None = None) -> str:
    """Send a new task that repeats another one, and return its id.

    Args:
        task: the other one.
        store: that has its result; None: its result stays.

    Raises:
        CallError: somebody else has sent it again.
        EnqueueError: it cannot be sent.
        BrokerError: the task was not sent, or the broker did not say whether it was.
    """
    (one,) = _sent({task.id: copy_of(task)}, store)
    if one.new_id is not None:
        return one.new_id
    assert one.error is not None
    raise one.error


def copy_of(task: Task) -> Task:
    """Return a new task that repeats another one.

    Raises:
        EnqueueError: this project would not send it.
    """
    conf = current.conf
    require_accepted(task.content, f"{task.func} id={task.id}")
    copy = msgspec.structs.replace(
        task,
        id=new_id(),
        queue=task.queue or conf.queue,
        created=time.time() + Clock.offset,
        options=msgspec.structs.replace(task.options, own_id=UNSET),
        headers={RESENT_FROM: task.id},
    )
    # a row may have been written by somebody else, and the package is signed anew
    if (refused := refusal(copy, conf)) is not None:
        raise EnqueueError(refused)
    return copy


def require_accepted(content: str, what: str) -> None:
    """Refuse arguments that no cluster of this project would decode.

    Args:
        content: their serializer.
        what: has them, for the error.

    Raises:
        EnqueueError: the project does not accept it.
    """
    accepted = current.conf.accept_content
    if content not in accepted:
        raise EnqueueError(
            f"{what} cannot be sent again: its arguments are {content!r}, and this"
            f" project accepts {', '.join(accepted)}."
        )


def _resent(ids: Sequence[str]) -> list[Resent]:
    store = current.results
    found: dict[str, Resent] = {}
    queues: dict[str, dict[str, Task]] = {}
    for id in ids:
        try:
            task = _stored(store, id)
            queues.setdefault(task.queue, {})[id] = task
        except QcoreError as error:
            found[id] = Resent(id, None, error)
    for tasks in queues.values():
        for one in _sent(tasks, store):
            found[one.id] = one if one.error else _without_old(store, one)
    return [found[id] for id in ids]


def _stored(store: ResultStore, id: str) -> Task:
    task = store.task_of(id)
    if task is None:
        raise CallError(
            f"no result is stored of the task {id}, so nobody knows what to send again."
        )
    return copy_of(task)


def _sent(tasks: dict[str, Task], store: ResultStore | None = None) -> Iterator[Resent]:
    """Send the copies of tasks, all of one queue, by the ids of the tasks they repeat.

    Args:
        tasks: the copies.
        store: of the results of these tasks; None: there is none.
    """
    try:
        instead, mine = _sent_once(tasks, store)
    except QcoreError as error:
        if len(tasks) == 1 or isinstance(error, (BrokerError, StoreError)):
            # of a broker that failed, nobody may send the same once more
            yield from (Resent(id, None, error) for id in tasks)
            return
        for id, task in tasks.items():
            yield from _sent({id: task}, store)
        return
    for id, task in tasks.items():
        if id in mine:
            yield Resent(id, instead.get(task.id, task.id))
        else:
            told = "somebody else has sent it again just now, or deleted its result"
            yield Resent(id, None, CallError(f"the task {id} is not sent: {told}."))


def _sent_once(
    tasks: dict[str, Task], store: ResultStore | None
) -> tuple[Mapping[str, str], set[str]]:
    """Send those of the tasks that nobody else sends again at the same time."""
    holding = nullcontext(tasks.keys()) if store is None else store.resending(tasks)
    with holding as found:
        mine = set(found)
        copies = [task for id, task in tasks.items() if id in mine]
        # Not on commit: the result may only go once the task is with the broker.
        return send(copies, commit="now", call="resend", variant="aresend"), mine


def _without_old(store: ResultStore, one: Resent) -> Resent:
    """Forget the result of a failed task that was sent again; note that of a success."""
    try:
        record = store.fetch(one.id)
        if record is not None and record.id == one.id:
            if record.success:
                return replace(one, succeeded=True)
            store.delete(one.id)
    except QcoreError as error:
        logger.warning(
            "%s was sent again as %s, and its old result is still there: %s",
            one.id, one.new_id, error,
        )  # fmt: skip
        return Resent(one.id, one.new_id, error)
    return one
