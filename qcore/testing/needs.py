"""What a cluster does for tasks that need plugins, for tests that run tasks without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ..envelope import Outcome, Task, new_id
from ..errors import EnqueueError, Suspend
from ..features import RUN, Admitted, Claim
from ..plugins.provider import Provider
from ..runtime import current
from ..settled import Follower, Settled, Settlement, suspended_by

#: Of a higher layer than this one.
_LEDGER = Provider("ledger", "qcore.ledger.settlement:Ledger")
_FEATURES = Provider("features", "qcore.ledger.features:Features")
_NO_LEDGER = "this project has no ledger, which plugins of tasks need."


def admitted(task: Task, attempt: int) -> Admitted:
    """Return the answer of the plugins that a task needs, as a cluster gets it.

    Raises:
        EnqueueError: the project has no ledger, or lacks a plugin that the task needs.
    """
    if not task.needs:
        return Admitted(RUN)
    plugins = current.registry.features
    for name in task.needs:
        if name not in plugins.names:
            raise EnqueueError(f"{task.func} needs the plugin {name!r}. Install it.")
    if current.ledger is None:
        raise EnqueueError(_NO_LEDGER)
    features = _FEATURES.load()(plugins, current.ledger, current.signer.sign)
    found: Admitted
    (found,) = features.admit([Claim(task, attempt, float("inf"))])
    return found


def is_cancelled(task: Task) -> bool:
    """Whether this thread has had a task cancelled.

    Where nobody has cancelled anything here, no database is asked: a test may have none.
    """
    if not current.has_control or current.ledger is None:
        return False  # nearly always
    ledger = _LEDGER.load()(current.conf, current.registry.features)
    ticket = ledger.look_up({task.id}).get(task.id)
    return ticket is not None and ticket.cancels(task.gen)


def settle(
    task: Task,
    outcome: str,
    start: int = 0,
    *,
    final: bool = True,
    again: float | None = None,
) -> None:
    """Tell the plugins that a task needs how an attempt at it has ended.

    Args:
        task: the task.
        outcome: of the attempt.
        start: which start of the task it was.
        final: whether it is the last one.
        again: seconds until the next one; None: when its lease ends.
    """
    plugins = current.registry.features
    if not final and again is None:
        again = float(current.conf.retry)
    ended = Settled(task=task, outcome=outcome, final=final, again=again, start=start)
    for name in task.needs:
        if name in plugins.settle:
            with _transaction():
                plugins.settle[name](settled=[ended])


def suspend(task: Task, error: Suspend, start: int) -> None:
    """Put a task into the outbox that waits for a plugin, and tell the plugin.

    Raises:
        EnqueueError: the project has no ledger.
    """
    if current.ledger is None:
        raise EnqueueError(_NO_LEDGER)
    ledger = _LEDGER.load()(current.conf, current.registry.features)
    following = msgspec.structs.replace(
        task, gen=task.gen + 1, relayed=True, expires=None
    )
    follower = Follower(
        task.queue, task.id, current.signer.sign(following), following.gen, error.after,
        held_by=suspended_by(error.plugin),
    )  # fmt: skip
    settled = Settled(
        task=task,
        outcome=Outcome.SUSPENDED,
        final=False,
        again=error.after,
        start=start,
    )
    settlement = Settlement(
        settled=settled, has_ticket=True, moves=True, followers=(follower,)
    )
    with ledger.transaction():
        ledger.settle([settlement], new_id())


@contextmanager
def _transaction() -> Iterator[None]:
    from django.db import transaction

    ledger = current.ledger
    if ledger is None:
        raise EnqueueError(_NO_LEDGER)
    with transaction.atomic(using=ledger.database):
        yield
