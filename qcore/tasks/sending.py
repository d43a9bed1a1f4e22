"""Sending: tasks become packages and go to the broker, at once or on commit."""

from __future__ import annotations

import logging
from asyncio import _get_running_loop
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import BrokerError
from ..runtime import current
from .loops import refuse_broker_in_loop

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..envelope import Task

logger = logging.getLogger("qcore.sending")

#: Tasks that a log line names.
_NAMED = 10


def send(
    tasks: Sequence[Task],
    *,
    broker: Broker | None = None,
    delay: float = 0,
    commit: str | None = None,
    call: str = "async_task",
    variant: str = "aenqueue",
) -> None:
    """Send tasks of one queue in one batch.

    Inside a transaction of the database that the broker itself writes to, they join
    it. Inside any other one they are sent when it commits, and never if it
    rolls back; ``commit="now"`` sends them at once all the same. If they cannot be sent
    then, that is logged: the commit stands, and what else waits for it is still done.

    Args:
        tasks: all of them for the same queue.
        broker: None means the project's own.
        delay: seconds before they may run.
        commit: "on_commit" or "now"; None means the setting.
        call: who sends them, for the error where an event loop would wait.
        variant: what that is to call instead.

    Raises:
        CallError: an event loop runs here, and it would wait for the broker.
        BrokerError: where nothing was waited for. It says how many packages are stored,
            of how many that is not known, and the ids of their tasks.
        EnqueueError: a package is over the broker's limit.
    """
    if not tasks:
        return
    given, queue = broker, tasks[0].queue
    if _get_running_loop() is not None:
        refuse_broker_in_loop(given, call, variant)
    broker = given or current.broker(queue)
    sign = current.signer.sign
    packages = [sign(task) for task in tasks]
    broker.check_size(packages)
    if delay:
        broker.check_delay(delay)
    alias = None
    if (commit or current.conf.commit) == "on_commit":
        alias = _open_transaction(broker)
    if alias is None:
        _deliver(broker, packages, tasks, delay)
        return
    from django.db import transaction

    def deliver() -> None:
        try:
            # the project's own is looked up anew: settings may have changed since
            own = given or current.broker(queue)
            _deliver(own, packages, tasks, delay)
        except Exception as error:
            logger.error(
                "not sent after the commit of database %r: %s (%s)",
                alias, _named(tasks), type(error).__name__,
            )  # fmt: skip
            raise

    # robust: the error goes to the log of Django, and the next hook is called. Nobody
    # could undo the commit any more, and the next hook may send another task.
    transaction.on_commit(deliver, using=alias, robust=True)


def _named(tasks: Sequence[Task]) -> str:
    names = ", ".join(f"{task.func} id={task.id}" for task in tasks[:_NAMED])
    left = len(tasks) - _NAMED
    return f"{names} and {left:,} more" if left > 0 else names


def _deliver(
    broker: Broker, packages: Sequence[bytes], tasks: Sequence[Task], delay: float
) -> None:
    try:
        if len(packages) == 1:
            broker.enqueue(packages[0], delay=delay)
        else:
            broker.enqueue_many(packages, delay=delay)
    except BrokerError as error:
        error.task_ids = tuple(task.id for task in tasks)
        raise
    registry = current.registry
    if registry.observed("qcore_task_enqueued"):
        for task in tasks:
            registry.notify("qcore_task_enqueued", task=task)
    if logger.isEnabledFor(logging.DEBUG):
        for task in tasks:
            logger.debug("enqueued %s id=%s queue=%s", task.func, task.id, task.queue)


def _open_transaction(broker: Broker) -> str | None:
    """Return the database alias whose commit must be waited for, or None."""
    from django.db import connections

    waiting = None
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            if connection.alias == broker.database:
                return None  # the package joins this very transaction
            if waiting is None or connection.alias == "default":
                waiting = connection.alias
    return waiting
