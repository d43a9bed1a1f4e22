"""Inline: run a task in the caller instead of sending it, for ``sync``.

It takes the same way as in a cluster (signed, verified, decoded, stored, hooked), so that
a test with ``sync`` finds what production would.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from ..envelope import UNTOLD, Attempt, Outcome, Result, Task
from ..errors import QcoreError, Suspend, TaskError
from ..results.base import ResultStore
from ..results.routed import is_saved
from ..running import SUSPENDS
from ..runtime import current
from ..serializers import get_serializer
from .calls import next_link
from .execute import execute
from .follow_up import run_hook
from .savepoints import kept_usable
from .tracking import end_inline


def run_inline(task: Task) -> None:
    """Run a task and its followers, and store their results.

    Raises:
        Exception: what the task raised, after its failure has been stored.
    """
    following: Task | None = task
    token = SUSPENDS.set(False)
    try:
        while following is not None:
            ended, error = run_attempt(following)
            if isinstance(error, Suspend):  # it was told, and has not listened
                raise TaskError(f"{task.func} cannot wait where it is run at once")
            if error is not None:
                raise error
            following = next_link(following, ended)
    finally:
        SUSPENDS.reset(token)


def run_one(
    task: Task,
    attempt_count: int = 1,
    *,
    end: Attempt | None = None,
    again: Callable[[Attempt], bool] | None = None,
) -> BaseException | None:
    """Do what ``run_attempt`` does; return only what the task raised, if it did."""
    return run_attempt(task, attempt_count, end=end, again=again)[1]


def run_attempt(
    task: Task,
    attempt_count: int = 1,
    *,
    end: Attempt | None = None,
    again: Callable[[Attempt], bool] | None = None,
) -> tuple[Attempt, BaseException | None]:
    """Run a task and its hook, store its result; return its end, and what it raised, if it did.

    Args:
        task: verified or not.
        attempt_count: which attempt this is, from 1.
        end: how it ended without being run, such as of a task that has expired.
        again: tells of a failure whether it is followed by another attempt; None: it
            never is.
    """
    task = current.signer.verify(current.signer.sign(task), task.queue)
    error: BaseException | None = None
    if end is not None:
        attempt = end
    else:
        with kept_usable():
            attempt, error = execute(
                task, attempt_count, f"{socket.gethostname()}:{os.getpid()}"
            )
    if attempt.outcome in UNTOLD or attempt.outcome == Outcome.STOPPED:
        return attempt, error  # nothing has ended
    final = error is None or again is None or not again(attempt)
    result = attempt.result(task, attempt_count, final=final)
    try:
        if is_saved(result, current.conf):
            store = _save(result)
            if task.iter_count is not None and task.group is not None:
                if task.is_awaited:
                    from .completions import join  # only this needs it

                    join(store, task.group, task.iter_count)
                else:
                    store.collate(task.group, task.iter_count)
        end_inline(result)
    except QcoreError as refused:
        if error is None:
            raise
        raise error from refused  # the task's own error tells more
    current.registry.notify("qcore_results_recorded", results=[result])
    if task.hook is not None:
        with kept_usable():
            run_hook(result)
    return attempt, error


def store_value(task: Task, value: Any) -> None:
    """Store a value as the result of a task that need not run."""
    now = time.time()
    encoded = get_serializer(task.content).dumps(value)
    ended = Attempt(Outcome.SUCCESS, encoded, task.content, now, now)
    _save(ended.result(task, 1))


def _save(result: Result) -> ResultStore:
    store = current.results.part(current.results.route(result.task))
    store.save([result])
    # there is no delivery that could come again
    store.acknowledged([result.task.id])
    store.tidy()
    return store
