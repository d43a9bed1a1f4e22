"""Completions: the task that is sent once every call of an ``async_iter`` has ended.

Its package lies in the outbox from the beginning, and is not due. Whoever joins the results
of the calls makes it due, in the same transaction where the results are in the database of
the ledger. It is one row, so it is sent once however often that is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ..envelope import Task, new_id
from ..errors import EnqueueError
from ..runtime import current
from ..settled import ITERS, Follower
from .build import Builder
from .calls import announce, follow_on_id
from .moments import delay_of
from .new_tasks import in_ledger, prepare
from .sending import put_off, send

if TYPE_CHECKING:
    from ..results.base import ResultStore
    from .enqueueing import Function

#: Options that say when a task begins, counted from its sending. This one is sent by whoever
#: finds that the calls have ended, so they would count from a moment that nobody knows.
_MOMENTS = ("delay", "run_after", "expires")


def completion_of(function: Function, iter_id: str, options: dict[str, Any]) -> Task:
    """Return the task that is sent once all calls of an iter have ended.

    Args:
        function: of a module, or its dotted path; it takes the id of the iter.
        iter_id: the id.
        options: of the calls, checked. The task goes to the queue of the calls, unless
            the function declares one.

    Raises:
        EnqueueError: the function has no path, does not take one argument, or declares an
            option that is wrong, or that this task cannot have.
    """
    if options.get("broker") is not None:
        raise EnqueueError(
            "async_iter() got on_complete= together with broker=: that task waits in the"
            " outbox, which sends by the brokers of the project. Name a queue with"
            " cluster= instead."
        )
    func, args, kwargs, own = announce(function, (iter_id,), {}, {})
    builder = Builder(func, own)
    if "cluster" in options and "cluster" not in builder.options:
        builder = Builder(func, own | {"cluster": options["cluster"]})
    if unusable := [name for name in _MOMENTS if builder.options.get(name) is not None]:
        raise EnqueueError(
            f"async_iter() got on_complete={builder.path}, which has the option"
            f" {unusable[0]!r}: that task is sent when the last call ends, so nobody knows"
            " from when the option counts. Name a function that sends the task."
        )
    return builder.task(args, kwargs, task_id=follow_on_id(iter_id))


def send_with(completion: Task, calls: Sequence[Task], options: dict[str, Any]) -> None:
    """Send the calls of an iter, and keep the task that follows; both or neither.

    Both are rows of the outbox in one transaction, whatever the setting ``outbox`` says.
    Inside a transaction of another database than the ledger's, all of that is done when it
    commits.

    Args:
        completion: the task that follows.
        calls: of one function.
        options: of the calls, checked.

    Raises:
        EnqueueError: there is no outbox to keep it in, or a package is over the limit of
            its broker.
        BrokerUnavailable: the database of the ledger does not answer.
    """
    calls = [_announcing(call) for call in calls]
    work = partial(_send_together, completion, calls, delay_of(options))
    commit = options.get("commit") or current.conf.commit
    if commit != "on_commit" or not put_off([*calls, completion], work):
        work()


def _announcing(call: Task) -> Task:
    """Return a call with the note that a task is sent after the last one."""
    options = msgspec.structs.replace(call.options, completes=True)
    return msgspec.structs.replace(call, options=options)


def _send_together(completion: Task, calls: Sequence[Task], delay: float) -> None:
    ledger = current.ledger

    def work() -> None:
        following = prepare(completion)
        if following is None:
            raise EnqueueError(
                f"cannot send {calls[0].func} with on_complete={completion.func}: a"
                " plugin has found another task in its place, which may run before the"
                " calls end. Name a function without such an option ('unique', for"
                " example), which sends that task."
            )
        _park(following)
        send(
            calls, delay=delay, call="async_iter", variant="aenqueue_iter",
            within=None if ledger is None else ledger.database,
        )  # fmt: skip

    in_ledger(work, calls[0].func, "on_complete=")


def _park(task: Task) -> None:
    outbox = current.outbox
    assert outbox is not None  # where there is a ledger, there is one
    package = current.signer.sign(task)
    current.broker(task.queue).check_size([package])
    row = Follower(task.queue, task.id, package, task.gen, None, held_by=ITERS)
    outbox.write_followers([row], new_id())


def join(store: ResultStore, iter_id: str, count: int) -> None:
    """Join the results of an iter in this process, and have the task sent that follows.

    Args:
        store: has the results.
        iter_id: the id of the iter.
        count: of its calls.

    Raises:
        StoreError: nothing was joined.
    """
    ledger = current.ledger
    if ledger is None:
        store.collate(iter_id, count)
        return

    def work() -> None:
        if store.collate(iter_id, count):
            ledger.wake(ITERS, [follow_on_id(iter_id)])

    ledger.run(work)
