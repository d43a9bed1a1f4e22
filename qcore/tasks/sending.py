"""Sending: tasks become packages and go to the broker, at once or on commit."""

from __future__ import annotations

import logging
from asyncio import _get_running_loop
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..brokers.priorities import enqueue_by_priority
from ..errors import BrokerError
from ..masking import mask_url
from ..runtime import current
from .in_tests import SentInTest
from .loops import refuse_broker_in_loop
from .new_tasks import NewTask, ask, together, uses_features
from .outgoing import Outgoing, can_delay, named, outbox_of, relayed
from .tracking import Note, TrackedAs, note_of
from .transactions import open_transaction

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..envelope import Task

logger = logging.getLogger("qcore.sending")

_NOTHING: Mapping[str, str] = {}


def send(
    tasks: Sequence[Task],
    *,
    broker: Broker | None = None,
    delay: float = 0,
    commit: str | None = None,
    call: str = "async_task",
    variant: str = "aenqueue",
    new: bool = True,
    tracked: TrackedAs | None = None,
    within: str | None = None,
    noted: bool = False,
) -> Mapping[str, str]:
    """Send tasks of one queue in one batch.

    Inside a transaction of the database that the broker itself writes to, they join
    it. Inside any other one they are sent when it commits, and never if it
    rolls back; ``commit="now"`` sends them at once all the same. If they cannot be sent
    then, the commit stands, and what else waits for it is still done. Where the
    transaction is of the ledger's database, the tasks are in the outbox by then, and a
    cluster sends what the sender could not; else that is logged, and they are lost.

    A delay that the broker cannot keep is kept by the outbox.

    Plugins are asked about new tasks first. Where a task has an option of a plugin, what
    plugins write and the sending are one transaction of the ledger's database. Inside a
    transaction of another database all of that is done when it commits.

    Args:
        tasks: all of them for the same queue.
        broker: None means the project's own.
        delay: seconds before they may run.
        commit: "on_commit" or "now"; None means the setting.
        call: who sends them, for the error where an event loop would wait.
        variant: what that is to call instead.
        new: whether plugins are to be asked about the tasks; False where their packages
            were sent before.
        tracked: what the caller said of tasks that are tracked.
        within: the alias of the ledger's database, if its open transaction has written what
            the tasks follow from. They are sent with its commit, and through the outbox
            whatever the setting ``outbox`` says.
        noted: whether tracked tasks have their rows already. If the tasks are not sent, the
            rows stay.

    Returns:
        Of tasks that a plugin has skipped: their ids, and the ids of those in their place.
        Where plugins are asked only after a commit, nothing is known of that.

    Raises:
        CallError: an event loop runs here, and it would wait for the broker.
        BrokerError: where nothing was waited for. It says how many packages are stored,
            of how many that is not known, and the ids of their tasks.
        EnqueueError: a package is over the broker's limit.
    """
    if not tasks:
        return _NOTHING
    if _get_running_loop() is not None:
        refuse_broker_in_loop(broker, call, variant)
    features = current.registry.features
    uses = bool(new and features.before_send) and uses_features(tasks)
    if not (uses or (new and features.asks_of_all)):
        _send(tasks, broker, delay, commit, tracked, within, noted=noted)
        return _NOTHING
    if uses and not is_of_a_test(tasks, broker, commit):
        again = partial(
            send, tasks, broker=broker, delay=delay, commit="on_commit", call=call,
            variant=variant, new=new, tracked=tracked, noted=noted,
        )  # fmt: skip
        if (commit or current.conf.commit) == "on_commit" and put_off(
            tasks, again, broker
        ):
            return _NOTHING
        commit = "on_commit"  # which is at once where no transaction is open but ours

    failed: list[Exception] = []

    def ask_and_send() -> list[NewTask]:
        asked = ask(tasks, delay)
        if left := [one.task for one in asked if one.skipped_for is None]:
            _send(left, broker, delay, commit, tracked, within, failed, noted=noted)
        return asked

    asked = together(tasks, ask_and_send)
    if failed:  # by now only where no transaction was open but ours
        raise failed[0]
    return {
        one.task.id: one.skipped_for for one in asked if one.skipped_for is not None
    }


def put_off(
    tasks: Sequence[Task], work: Callable[[], object], broker: Broker | None = None
) -> bool:
    """Put sending off until a transaction commits that the ledger has no part in.

    Args:
        tasks: what is sent.
        work: sends them, and writes to the ledger.
        broker: where they go; None means the project's own.

    Returns:
        Whether there is such a transaction.

    Raises:
        EnqueueError: a package is over the broker's limit.
    """
    ledger = current.ledger
    if ledger is None or (alias := open_transaction(ledger.database)) is None:
        return False
    from django.db import transaction

    for task in tasks:  # after the commit, nobody would hear of it
        own = broker or current.broker(task.queue)
        own.check_size([current.signer.sign(task)])

    def send_now() -> None:
        try:
            work()
        except Exception as error:
            logger.error(
                "not sent after the commit of database %r: %s (%s)",
                alias, named(tasks), type(error).__name__,
            )  # fmt: skip
            raise

    transaction.on_commit(send_now, using=alias, robust=True)
    return True


def is_of_a_test(
    tasks: Sequence[Task], given: Broker | None, commit: str | None
) -> bool:
    """Whether tasks go to a queue in this process, from a transaction that may never commit.

    So it is in a test with ``qcore_queue``: its transaction is undone at its end, and takes
    along what plugins have written; the queue ends with it.
    """
    if (commit or current.conf.commit) != "now":
        return False
    broker = given or current.broker(tasks[0].queue)
    outbox = current.outbox
    return not broker.blocks and outbox is not None and outbox.is_in_transaction


def _send(
    tasks: Sequence[Task],
    given: Broker | None,
    delay: float,
    commit: str | None,
    tracked: TrackedAs | None,
    within: str | None,
    failed: list[Exception] | None = None,
    *,
    noted: bool = False,
) -> None:
    """Send tasks about which plugins have been asked.

    Args:
        tasks: one at least, all of them for the same queue.
        given: the broker that the caller named, if any.
        delay: seconds before they may run.
        commit: "on_commit" or "now"; None means the setting.
        tracked: what the caller said of tasks that are tracked.
        within: as for ``send``.
        failed: gets the error of a sending that comes with a commit, and is not the outbox's.
        noted: as for ``send``.
    """
    broker = given or current.broker(tasks[0].queue)
    note = None if noted else note_of(tasks, delay, tracked)
    alias = None
    if within is not None:
        alias = None if broker.database == within else within
    elif (commit or current.conf.commit) == "on_commit":
        alias = open_transaction(broker.database)
    if (alias is not None or delay or current.conf.outbox) and _send_through_outbox(
        tasks, broker, alias, delay, note, own=given is None, kept=within is not None
    ):
        return
    sign = current.signer.sign
    packages = [sign(task) for task in tasks]
    broker.check_size(packages)
    if delay:
        broker.check_delay(delay)
    if alias is not None:
        in_test = within is not None and is_of_a_test(tasks, given, commit)
        _deliver_on_commit(
            alias, given, packages, tasks, delay, note, failed, in_test=in_test
        )
    elif note is None:
        _deliver(broker, packages, tasks, delay)
    else:
        note.with_send(broker, partial(_deliver, broker, packages, tasks, delay))


def _deliver_on_commit(
    alias: str,
    given: Broker | None,
    packages: Sequence[bytes],
    tasks: Sequence[Task],
    delay: float,
    note: Note | None,
    failed: list[Exception] | None,
    *,
    in_test: bool,
) -> None:
    """Send packages when a transaction commits that the outbox has no part in.

    What plugins have written for them is committed by then. Where they cannot be sent,
    plugins are told that they never will be.

    Args:
        alias: of the database of the transaction.
        given: the broker that the caller named, if any.
        packages: what is sent.
        tasks: the tasks of the packages, all of one queue.
        delay: seconds before they may run.
        note: of the tasks, where they are tracked.
        failed: gets the error.
        in_test: whether a test may look for them before that.
    """
    from django.db import transaction

    def deliver() -> None:
        try:
            # the project's own is looked up anew: settings may have changed since
            own = given or current.broker(tasks[0].queue)
            send_now = partial(_deliver, own, packages, tasks, delay)
            if note is None:
                send_now()
            else:
                note.with_send(own, send_now)
        except Exception as error:
            logger.error(
                "not sent after the commit of database %r: %s (%s)",
                alias, named(tasks), type(error).__name__,
            )  # fmt: skip
            _tell_unsent(tasks, error)
            if failed is not None:
                failed.append(error)
            raise

    # robust: the error goes to the log of Django, and the next hook is called. Nobody
    # could undo the commit any more, and the next hook may send another task.
    transaction.on_commit(
        SentInTest(deliver) if in_test else deliver, using=alias, robust=True
    )


def _tell_unsent(tasks: Sequence[Task], error: Exception) -> None:
    """Tell plugins of those of these tasks that are not sent, and never will be."""
    ledger = current.ledger
    by_id = {task.id: task for task in tasks if task.needs}
    if not by_id or ledger is None:
        return
    ids: Sequence[str] = [task.id for task in tasks]
    if isinstance(error, BrokerError):
        # of those that are unsure, nobody knows; in the order in which they were sent
        ids = (error.task_ids or ids)[error.stored + error.unsure :]
    try:
        ledger.unsent([by_id[id] for id in ids if id in by_id])
    except Exception as problem:  # noqa: BLE001 - the caller hears of the first error
        logger.warning(
            "plugins do not know that %s are not sent: %s: %s",
            named(tasks), type(problem).__name__, mask_url(str(problem)),
        )  # fmt: skip


def _send_through_outbox(
    tasks: Sequence[Task],
    broker: Broker,
    alias: str | None,
    delay: float,
    note: Note | None,
    *,
    own: bool,
    kept: bool,
) -> bool:
    """Send tasks through the outbox if they should and can; return whether they were.

    Args:
        tasks: all of one queue.
        broker: where they go.
        alias: of the database whose commit must be waited for; None: of none.
        delay: seconds before they may run.
        note: of the tasks, where they are tracked.
        own: whether the broker is the project's own.
        kept: whether to do so whatever the setting ``outbox`` says.
    """
    needed = kept or (
        current.conf.outbox is False and any(task.needs for task in tasks)
    )
    outbox = outbox_of(broker, own=own, needed=needed)
    if outbox is None or alias not in {None, outbox.database}:
        return False
    is_too_long = bool(delay) and not can_delay(broker, delay)
    if alias is None and not (is_too_long or current.conf.outbox):
        return False
    if alias is None and outbox.is_in_transaction:
        return False  # commit="now": a row would wait for the commit
    from django.db import transaction

    queue, tasks = tasks[0].queue, relayed(tasks)
    packages = [current.signer.sign(task) for task in tasks]
    broker.check_size(packages)
    outgoing = Outgoing(outbox, tasks, packages, delay)
    write = outgoing.leave if is_too_long else outgoing.write
    if note is None:
        write()
    else:
        note.with_rows(write)
    if is_too_long:
        return True

    def deliver(packages: Sequence[bytes], tasks: Sequence[Task]) -> None:
        # looked up anew: settings may have changed since
        _deliver(current.broker(queue), packages, tasks, delay)

    if alias is None:
        outgoing.send(deliver)
    else:
        transaction.on_commit(lambda: outgoing.send(deliver), using=alias, robust=True)
    return True


def _deliver(
    broker: Broker, packages: Sequence[bytes], tasks: Sequence[Task], delay: float
) -> None:
    try:
        if len(packages) == 1 and not tasks[0].priority:  # nearly always
            broker.enqueue(packages[0], delay=delay)
        elif broker.supports_priority and any(task.priority for task in tasks):
            tasks = _deliver_by_priority(broker, packages, tasks, delay)
        elif len(packages) == 1:
            broker.enqueue(packages[0], delay=delay)
        else:
            broker.enqueue_many(packages, delay=delay)
    except BrokerError as error:
        error.task_ids = error.task_ids or tuple(task.id for task in tasks)
        raise
    registry = current.registry
    if registry.observed("qcore_task_enqueued"):
        for task in tasks:
            registry.notify("qcore_task_enqueued", task=task)
    if logger.isEnabledFor(logging.DEBUG):
        for task in tasks:
            logger.debug("enqueued %s id=%s queue=%s", task.func, task.id, task.queue)


def _deliver_by_priority(
    broker: Broker, packages: Sequence[bytes], tasks: Sequence[Task], delay: float
) -> Sequence[Task]:
    """Send packages, those of each priority in one batch; return the tasks as sent.

    Nearly always all have the same: only a receiver of ``pre_enqueue`` can make tasks of
    one call differ.
    """
    pairs = sorted(
        zip(tasks, packages, strict=True), key=lambda pair: -pair[0].priority
    )
    try:
        enqueue_by_priority(
            broker, [(task.priority, package) for task, package in pairs], delay=delay
        )
    except BrokerError as error:
        error.task_ids = tuple(task.id for task, _ in pairs)
        raise
    return tasks
