"""Unique tasks for qcore: of two tasks with one key, one is sent.

The package is a plugin (the hooks below) and a Django app (``apps.py``, models,
migrations). Importing it does not import Django::

    unique    Unique: the option of a task, and its key
    keys      who has which key: the rows, in batches
    models    the tables
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qcore import TaskOption, hookimpl

from .unique import Unique, read_unique

if TYPE_CHECKING:
    from qcore import Admission, Claim, NewTask, Settled

__all__ = ["Unique"]


@hookimpl
def qcore_task_options() -> list[TaskOption]:
    """Describe the option ``unique``."""
    return [
        TaskOption(
            "unique",
            read_unique,
            "True (the function with these arguments), a template of the key such as"
            ' `"order:{order_id}"`, or a `qcore_limits.Unique`.',
        )
    ]


@hookimpl
def qcore_before_send(tasks: Sequence[NewTask]) -> None:
    """Take the keys of new tasks; skip, replace or refuse where a key is taken."""
    from .keys import take

    take(tasks)


@hookimpl
def qcore_admit(claims: Sequence[Claim]) -> list[Admission]:
    """Drop tasks that were replaced; free the keys that are held only while waiting."""
    from .keys import admit

    return admit(claims)


@hookimpl
def qcore_settle(settled: Sequence[Settled]) -> None:
    """Free the keys of tasks that have ended."""
    from .keys import free

    free(settled)


@hookimpl
def qcore_sweep(now: float) -> float:
    """Delete keys whose time is over."""
    from django.apps import apps

    if not apps.is_installed("qcore_limits"):
        return 60.0  # there are no tables; the system check says so
    from .keys import sweep

    return sweep(now)


@hookimpl
def qcore_checks(conf: Any) -> list[Any]:
    """Return what is wrong with the app, as Django check messages."""
    from .checks import check

    return check()
