"""For the tests of a project: run the queued tasks in this process, and inspect the queue.

No cluster is needed. Tasks take the whole way of a package (signed, verified, decoded,
run with its timeout, stored, hooked, chained), on whatever broker the settings choose;
with the memory broker, or the ORM's on the test database, nothing needs to be cleaned
up::

    def test_an_order_sends_a_receipt(db):
        place_order(7)
        assert_enqueued("shop.tasks.send_receipt", args=(7,))
        drain()
        assert len(mail.outbox) == 1

Under a broker outside of the test database, tasks are sent on commit, which a test
that is rolled back never reaches: use ``captureOnCommitCallbacks(execute=True)``, or
set ``'commit': 'now'``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ..brokers.priorities import enqueue_by_priority
from ..envelope import NEVER_AGAIN, Attempt, Outcome, choose
from ..errors import PackageError, Snooze, Suspend, TaskStopped
from ..features import Drop, Release, Run
from ..plugins.provider import Provider
from ..results.content import load_bytes
from ..running import SUSPENDS
from ..runtime import current
from ..tasks.calls import build, next_link, split_options
from ..tasks.execute import execute
from ..tasks.in_tests import send_waiting
from ..tasks.inline import run_attempt, run_one
from ..tasks.moments import expired
from ..tasks.new_tasks import prepare
from ..tasks.savepoints import kept_usable
from .asserts import assert_enqueued, enqueued
from .interrupts import Interrupted
from .needs import admitted, is_cancelled, settle, suspend

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..envelope import Delivery, Task
    from ..features import Admission

    #: The deliveries of tasks that have snoozed, and for how many seconds; see ``_delay``.
    Snoozed = list[tuple[Delivery, float | None]]

__all__ = ["Counts", "assert_enqueued", "drain", "enqueued", "perform"]

#: Of a higher layer than this one.
_RELAY = Provider("relay", "qcore.ledger.relay:Relay")
#: Tasks that one ``drain`` runs at most: more come only of tasks that enqueue
#: themselves for ever.
MOST = 10_000


@dataclass(slots=True)
class Counts:
    """The numbers of one ``drain``."""

    succeeded: int = 0
    failed: int = 0
    refused: int = 0  # packages that could not be verified
    expired: int = 0  # tasks that had not started by their ``expires``
    cancelled: int = 0  # tasks that were cancelled while they waited
    dropped: int = 0  # tasks that a plugin has ended before their run
    waiting: int = 0  # times that a plugin had a task wait
    suspended: int = 0  # times that a task went on to wait outside of a worker
    put_off: int = 0  # times that another worker had a task, or that a task snoozed
    awaited: int = 0  # calls of an ``async_iter`` with ``on_complete``
    interrupted: int = 0  # times that a task was interrupted; see `interrupt_at`


def drain(
    queue: str | None = None,
    *,
    raises: bool = True,
    broker: Broker | None = None,
    retries: bool = False,
    counts: Counts | None = None,
) -> Counts:
    """Run everything that is queued, in this process, until nothing is left.

    What the tasks enqueue is run too, and so are hooks and the links of chains. What
    is delayed is left, and so is a task that snoozes. A failed task is stored and
    acknowledged; it is not retried, unless ``retries`` says so.

    Args:
        queue: None means the project's own.
        raises: raise what the first failed task raised, with the rest still queued.
        broker: instead of the project's.
        retries: leave a failed task with attempts left to its lease; ``raises`` is then
            about last attempts only. For ``qcore_clock``, which lets the lease pass.
        counts: to be added to; None makes new ones.

    Returns:
        How many tasks succeeded and failed.

    Raises:
        Exception: what a task raised.
        PackageError: what was queued is no package of ours.
        AssertionError: there is no end to it.
    """
    broker = broker or current.broker(queue)
    counts = counts or Counts()
    snoozed: Snoozed = []
    try:
        for _ in range(MOST):
            send_waiting()
            deliveries = broker.dequeue(1)
            if not deliveries:
                if _sent_again(broker.queue, counts):
                    continue
                return counts
            error = _run(broker, deliveries[0], counts, snoozed, retries=retries)
            if error is not None and raises:
                raise error
        raise AssertionError(
            f"{MOST:,} tasks have run and queue {broker.queue!r} is still not empty: does"
            " a task enqueue itself?"
        )
    finally:  # not before: one that snoozes for no time at all would never be left
        for delivery, seconds in snoozed:
            _delay(broker, delivery, seconds)


def _run(
    broker: Broker,
    delivery: Delivery,
    counts: Counts,
    snoozed: Snoozed,
    *,
    retries: bool,
) -> BaseException | None:
    try:
        task = current.signer.verify(delivery.package, broker.queue)
    except PackageError as refusal:
        broker.fail(delivery.receipt)
        counts.refused += 1
        return refusal
    counts.awaited += task.is_awaited
    if (end := _end_before_run(task, counts)) is not None:
        _end(broker, delivery, task, end)
        return None
    answer, ticket = admitted(task, delivery.attempt)
    start = ticket.starts if ticket is not None else 0
    if isinstance(answer, Drop):
        _end(broker, delivery, task, Attempt.failed(answer.outcome, answer.why))
        counts.dropped += 1
        return None
    if not isinstance(answer, Run):
        _put_off(broker, delivery, answer)
        counts.waiting += 1
        return None
    again, outcome = False, str(Outcome.SUCCESS)
    wait: float | None = None

    def comes_again(ended: Attempt) -> bool:
        nonlocal again, outcome, wait
        outcome, wait = ended.outcome, ended.again
        again = retries and _comes_again(task, delivery.attempt, ended)
        return again

    attempt = delivery.attempt - _UNCOUNTED.get(task.id, 0)
    ended, error = run_attempt(task, attempt, again=comes_again)
    if _goes_on(broker, delivery, task, start, error, counts, snoozed):
        return None
    if error is not None and again:
        counts.failed += 1
        settle(task, outcome, start, final=False, again=wait)
        _delay(broker, delivery, wait)
        return None
    settle(task, outcome, start)
    following = next_link(task, ended) if error is None else None
    if following is not None and (following := prepare(following)) is not None:
        package = current.signer.sign(following)
        enqueue_by_priority(broker, [(following.priority, package)])
    broker.acknowledge(delivery.receipt)
    if error is None:
        counts.succeeded += 1
    else:
        counts.failed += 1
    return error


def _end_before_run(task: Task, counts: Counts) -> Attempt | None:
    """Return, and count, the end of a task that nobody wants to run any more."""
    if is_cancelled(task):
        counts.cancelled += 1
        return Attempt.cancelled()
    if (end := expired(task)) is not None:
        counts.expired += 1
    return end


def _end(broker: Broker, delivery: Delivery, task: Task, end: Attempt) -> None:
    """End a task that has not been run."""
    run_one(task, delivery.attempt, end=end)
    settle(task, end.outcome)
    broker.acknowledge(delivery.receipt)


def _put_off(broker: Broker, delivery: Delivery, answer: Admission) -> None:
    """Do what a cluster does with a delivery whose task does not run now."""
    if isinstance(answer, Release):
        _put_back(broker, delivery, answer.after)
    else:
        broker.acknowledge(delivery.receipt)  # the task is in the outbox


def _sent_again(queue: str, counts: Counts) -> bool:
    """Send tasks that were woken, by plugins for example, each to its own queue.

    Returns:
        Whether one was sent to this queue.
    """
    woken = counts.waiting or counts.suspended or counts.awaited
    if not woken or (outbox := current.outbox) is None:
        return False  # nearly always
    due = outbox.due_queues()
    for name in due:
        conf = msgspec.structs.replace(current.conf, cluster_name=name)
        _RELAY.load()(conf).tick()
    return queue in due


def _goes_on(
    broker: Broker,
    delivery: Delivery,
    task: Task,
    start: int,
    error: BaseException | None,
    counts: Counts,
    snoozed: Snoozed,
) -> bool:
    """Do what a cluster does with a task that has neither ended nor failed, if so it is."""
    if isinstance(error, Suspend) and error.plugin in task.needs:
        _UNCOUNTED.pop(task.id, None)
        suspend(task, error, start)
        broker.acknowledge(delivery.receipt)
        counts.suspended += 1
    elif isinstance(error, Interrupted):
        settle(task, Outcome.CRASH, start, final=False)
        _put_back(broker, delivery, 0.0)
        counts.interrupted += 1
    elif isinstance(error, TaskStopped):
        settle(task, Outcome.STOPPED, start, final=False)
        _put_back(broker, delivery, error.after)
        counts.put_off += 1
    elif isinstance(error, Snooze):
        _UNCOUNTED[task.id] = _UNCOUNTED.get(task.id, 0) + 1
        settle(task, Outcome.SNOOZED, start, final=False, again=error.after)
        snoozed.append((delivery, error.after))
        counts.put_off += 1
    else:
        return False
    return True


def _put_back(broker: Broker, delivery: Delivery, seconds: float) -> None:
    """Give a delivery back; one that the broker cannot take waits for its lease."""
    if broker.supports_release and (broker.supports_delay or not seconds):
        wait = min(seconds, current.conf.retry)
        broker.release([delivery.receipt], **({"delay": wait} if wait else {}))


def _delay(broker: Broker, delivery: Delivery, seconds: float | None) -> None:
    """Let a delivery come again after so many seconds; None: when its lease ends.

    A cluster asks the outbox for what its broker cannot delay; here that comes with its
    lease, too.
    """
    if seconds is not None and broker.supports_release and broker.supports_delay:
        broker.release([delivery.receipt], delay=seconds)


#: Of tasks that fail: how many of their deliveries do not count as attempts.
_UNCOUNTED: dict[str, int] = {}


def _comes_again(task: Task, delivered: int, ended: Attempt) -> bool:
    """Whether a cluster would try a task again whose attempt has failed so."""
    if ended.fresh:
        _UNCOUNTED[task.id] = delivered - 1
    attempt = delivered - _UNCOUNTED.get(task.id, 0)
    limit = choose(task.options.max_attempts, current.conf.max_attempts)
    is_over = ended.how == "dead" or ended.outcome in NEVER_AGAIN
    if is_over or (limit and attempt >= limit):
        _UNCOUNTED.pop(task.id, None)
        return False
    return ended.how == "retry" or not choose(
        task.options.ack_failure, current.conf.ack_failures
    )


def perform(func: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
    """Run one call as a worker would, and return its value as a result would give it.

    Nothing is queued, stored or hooked. Arguments and value go through the serializer,
    so that what cannot travel is found here.

    Args:
        func: a function of a module, or its dotted path.
        args: its positional arguments.
        kwargs: its keyword arguments, and options of ``async_task`` such as ``timeout``.

    Raises:
        EnqueueError: the call cannot be sent.
        Exception: what the function raised.
    """
    kwargs, options = split_options(kwargs, func)
    task = build(func, args, kwargs, **options)
    task = current.signer.verify(current.signer.sign(task), task.queue)
    token = SUSPENDS.set(False)
    try:
        with kept_usable():
            attempt, error = execute(task, 1, f"{socket.gethostname()}:{os.getpid()}")
    finally:
        SUSPENDS.reset(token)
    if error is not None:
        raise error
    return load_bytes(attempt.value, attempt.content, current.conf.accept_content)
