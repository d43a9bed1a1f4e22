"""Retry policies: whether a task that has raised is run again, and when.

Runs in: a worker, which has the exception. What only the dispatcher knows, such as the
death of a worker, the dispatcher judges by itself; see ``engine.dispatcher.retries``.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import math
from importlib import import_module
from typing import NamedTuple

from ..backoff import LONGEST, is_path, wait_after
from ..envelope import Outcome, Task, choose
from ..errors import (
    Discard,
    QcoreError,
    Retry,
    Snooze,
    Suspend,
    TaskCancelled,
    TaskStopped,
    TaskTimeout,
)
from ..printable import shorten
from ..running import can_suspend
from ..runtime import current
from .allowed_tasks import is_allowed
from .functions import resolve

logger = logging.getLogger("qcore.worker")

#: Characters of a note on a policy that has failed.
_NOTE = 300


class Verdict(NamedTuple):
    """What a worker says of a failed attempt."""

    outcome: str
    """One of ``Outcome``."""
    again: float | None = None
    """Seconds until the task is run again; None: as is usual."""
    how: str = ""
    """``"retry"``: the task has asked for it. ``"dead"``: no retry for such an error. Of a
    task that is suspended: the plugin that wakes it."""
    note: str = ""
    """What is wrong with the policy; it is added to the text of the error."""


def judge(task: Task, attempt: int, error: BaseException) -> Verdict:
    """Say what becomes of a task that has raised.

    Args:
        task: that has raised.
        attempt: which one this was, from 1.
        error: what was raised.
    """
    options = task.options
    if isinstance(error, Snooze):
        return Verdict(Outcome.SNOOZED, error.after)
    if isinstance(error, Discard):
        return Verdict(Outcome.DISCARDED)
    if isinstance(error, Suspend):
        return _suspended(task, error)
    if isinstance(error, Retry):
        again, note = error.after, ""
        if again is None:
            again, note = _wait(task, attempt, error)
        return Verdict(Outcome.FAILURE, again, "retry", note)
    if isinstance(error, TaskTimeout):
        # a worker that was killed for its timeout could not match its classes
        again, note = _wait(task, attempt, error)
        return Verdict(Outcome.TIMEOUT, again, "", note)
    if options.discard_on and is_one_of(error, options.discard_on):
        return Verdict(Outcome.DISCARDED)
    if options.retry_on and not is_one_of(error, options.retry_on):
        return Verdict(Outcome.FAILURE, None, "dead")
    again, note = _wait(task, attempt, error)
    return Verdict(Outcome.FAILURE, again, "", note)


def _suspended(task: Task, error: Suspend) -> Verdict:
    """Say what becomes of a task that is to wait outside of a worker."""
    if not can_suspend():
        note = "nobody would wake the task: it runs in its caller, and not in a cluster"
    elif error.plugin not in task.needs:
        note = (
            f"nobody would wake the task: it does not need the plugin {error.plugin!r}"
        )
    else:
        return Verdict(Outcome.SUSPENDED, error.after, error.plugin)
    return Verdict(Outcome.FAILURE, None, "dead", note)


def is_one_of(error: BaseException, paths: tuple[str, ...]) -> bool:
    """Whether an error is of one of these classes, or of a subclass of one.

    A class is known by its path, so a module that cannot be imported here matches nothing
    and stops nothing.
    """
    names = {f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__}
    if not names.isdisjoint(paths):
        return True
    classes = [found for path in paths if (found := _class_at(path)) is not None]
    return isinstance(error, tuple(classes))


@functools.cache
def _class_at(path: str) -> type[BaseException] | None:
    """Return the exception class of a dotted path, which may have moved since."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except Exception:  # noqa: BLE001 - importing a module may raise anything
        logger.warning(
            "no exception class %r can be imported; it matches nothing", path
        )
        return None
    is_class = isinstance(found, type) and issubclass(found, BaseException)
    return found if is_class else None


def _wait(task: Task, attempt: int, error: BaseException) -> tuple[float | None, str]:
    """Return the seconds until the next attempt, and what is wrong with the policy."""
    policy = choose(task.options.backoff, current.conf.backoff)
    if not is_path(policy):
        return wait_after(policy, attempt), ""
    try:
        return _call(policy, attempt, error), ""
    except (TaskStopped, TaskCancelled):
        raise  # a signal for the task, which has come a moment too late for it
    except BaseException as broken:  # noqa: BLE001 - it is the project's own function
        reason = shorten(f"{type(broken).__name__}: {broken}", _NOTE)
        note = f"the backoff {policy!r} does not work, so the default is used: {reason}"
        logger.error("%s id=%s: %s", task.func, task.id, note)
        return None, note


def _call(path: str, attempt: int, error: BaseException) -> float | None:
    if not is_allowed(path, current.conf):
        raise QcoreError("Q_CLUSTER['allowed_tasks'] of this cluster does not admit it")
    wait = resolve(path)(attempt, error)
    if wait is None:
        return None
    if isinstance(wait, dt.timedelta):
        wait = wait.total_seconds()
    is_number = isinstance(wait, (int, float)) and not isinstance(wait, bool)
    if not is_number or not math.isfinite(wait) or not 0 <= wait <= LONGEST:
        raise ValueError(
            f"it has returned {shorten(repr(wait), 100)}, expected seconds from 0 to"
            f" {LONGEST:,}, a timedelta or None"
        )
    return float(wait)
