"""What a cluster does for tasks that need plugins, for tests that run tasks without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..envelope import Task
from ..errors import EnqueueError
from ..features import RUN, Admission, Claim
from ..runtime import current
from ..settled import Settled


def admitted(task: Task, attempt: int) -> Admission:
    """Return the first answer of the plugins that a task needs which is not ``RUN``.

    Raises:
        EnqueueError: the project has no ledger, or lacks a plugin that the task needs.
    """
    plugins = current.registry.features
    for name in task.needs:
        if name not in plugins.names:
            raise EnqueueError(f"{task.func} needs the plugin {name!r}. Install it.")
        if name in plugins.admit:
            with _transaction():
                (answer,) = plugins.admit[name](
                    claims=[Claim(task, attempt, float("inf"))]
                )
            if answer is not RUN:
                found: Admission = answer
                return found
    return RUN


def settle(task: Task, outcome: str) -> None:
    """Tell the plugins that a task needs that it has ended, and is not tried again."""
    plugins = current.registry.features
    ended = Settled(task=task, outcome=outcome, final=True)
    for name in task.needs:
        if name in plugins.settle:
            with _transaction():
                plugins.settle[name](settled=[ended])


@contextmanager
def _transaction() -> Iterator[None]:
    from django.db import transaction

    ledger = current.ledger
    if ledger is None:
        raise EnqueueError("this project has no ledger, which plugins of tasks need.")
    with transaction.atomic(using=ledger.database):
        yield
