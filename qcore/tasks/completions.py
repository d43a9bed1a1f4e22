"""Completions: the task that is sent once every call of an ``async_iter`` has ended.

Its package lies in the outbox from the beginning, and is not due. Whoever has joined the
results of the calls makes it due. Both may be done again after a crash: the row is there
once, so the task is sent once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..envelope import Task, new_id
from ..errors import EnqueueError
from ..runtime import current
from ..settled import ITERS, Follower
from .build import Builder
from .calls import follow_on_id
from .new_tasks import in_ledger, prepare
from .sending import is_of_a_test

if TYPE_CHECKING:
    from .enqueueing import Function

    Send = Callable[[Sequence[Task], dict[str, Any]], None]


def completion_of(function: Function, iter_id: str, options: dict[str, Any]) -> Task:
    """Return the task that is sent once all calls of an iter have ended.

    Args:
        function: of a module, or its dotted path; it takes the id of the iter.
        iter_id: the id.
        options: of the calls, checked. The task goes to the queue of the calls, unless
            the function declares one.

    Raises:
        EnqueueError: the function has no path, does not take one argument, or declares an
            option that is wrong.
    """
    if options.get("broker") is not None:
        raise EnqueueError(
            "async_iter() got on_complete= together with broker=: that task waits in the"
            " outbox, which sends by the brokers of the project. Name a queue with"
            " cluster= instead."
        )
    builder = Builder(function, {})
    if "cluster" in options and "cluster" not in builder.options:
        builder = Builder(function, {"cluster": options["cluster"]})
    return builder.task((iter_id,), {}, task_id=follow_on_id(iter_id))


def send_with(
    completion: Task, calls: Sequence[Task], options: dict[str, Any], send: Send
) -> None:
    """Send the calls of an iter, and keep the task that follows; both or neither.

    Args:
        completion: the task that follows.
        calls: of one function.
        options: of the calls, checked.
        send: sends the calls.

    Raises:
        EnqueueError: there is no outbox to keep it in.
        BrokerUnavailable: the database of the ledger does not answer.
    """
    calls = [_announcing(call) for call in calls]
    if not is_of_a_test(calls, None, options.get("commit")):
        # the last call may end before a commit that comes after it
        options = {**options, "commit": "on_commit"}

    def work() -> None:
        following = prepare(completion)
        if following is not None:
            _park(following)
        send(calls, options)

    in_ledger(work, calls[0].func, "on_complete=")


def _announcing(call: Task) -> Task:
    """Return a call with the note that a task is sent after the last one."""
    options = msgspec.structs.replace(call.options, completes=True)
    return msgspec.structs.replace(call, options=options)


def _park(task: Task) -> None:
    outbox = current.outbox
    assert outbox is not None  # where there is a ledger, there is one
    package = current.signer.sign(task)
    row = Follower(task.queue, task.id, package, task.gen, None, held_by=ITERS)
    outbox.write_followers([row], new_id())


def wake(iter_id: str) -> None:
    """Have the task sent that follows an iter, whose results are joined."""
    if (ledger := current.ledger) is not None:
        ledger.run(lambda: ledger.wake(ITERS, [follow_on_id(iter_id)]))
