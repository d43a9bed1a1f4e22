"""The options of durable tasks, and which versions of a run their function accepts."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qcore import TaskOption
from qcore.errors import EnqueueError
from qcore.tasks.functions import loaded, target_of

from ..option import is_id
from .words import PLUGIN, SPAWNED_BY

if TYPE_CHECKING:
    from qcore import NewTask, Task


def _read_durable(value: Any) -> bool | None:
    if value is None or value is False:
        return None
    if value is True:
        return True
    raise ValueError("True or False")


def _read_version(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31:
        return value
    raise ValueError("a whole number from 1")


def _read_accepts(value: Any) -> list[int] | None:
    if value is None:
        return None
    expected = "versions such as {1, 2}"
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ValueError(expected)  # noqa: TRY004 - the kind that `TaskOption.read` raises
    found = [_read_version(one) for one in value]
    if None in found:
        raise ValueError(expected)
    return sorted({one for one in found if one is not None})


def _read_spawned_by(value: Any) -> str | None:
    if value is None:
        return None
    if is_id(value):
        return str(value)
    raise ValueError("the id of a durable task: 32 hexadecimal digits")


OPTIONS = [
    TaskOption(
        "durable",
        _read_durable,
        "True: the task may use `step`, `sleep_until` and `wait_event` of `qcore_flows`, and"
        " goes on after the last stored step.",
    ),
    TaskOption(
        "version",
        _read_version,
        "A whole number from 1: the version of a durable function. Raise it when the function"
        " cannot go on with what earlier runs have stored.",
    ),
    TaskOption(
        "accepts",
        _read_accepts,
        "Earlier versions of a durable function whose runs this one can finish: `{1, 2}`.",
    ),
    TaskOption(
        SPAWNED_BY,
        _read_spawned_by,
        "The id of the durable task that is told of the end of this one; `spawn` of"
        " `qcore_flows` sets it.",
    ),
]


def option_of(task: Task, name: str) -> Any:
    """Return an option of this plugin that a task was sent with, or None."""
    options = task.options.plugins or {}  # unset is false, too
    return options.get(name)


def spawned_by(task: Task) -> str | None:
    """Return the id of the run that has sent a task, or None."""
    found: str | None = option_of(task, SPAWNED_BY)
    return found


def is_durable(task: Task) -> bool:
    """Whether a task keeps what it has done."""
    return option_of(task, "durable") is True


def version_of(task: Task) -> int:
    """Return the version of its function that a task was sent for."""
    return option_of(task, "version") or 1


def accepted(task: Task) -> set[int]:
    """Return the versions of runs that the function of a task, as it is here, can go on with."""
    declared = target_of(task.func)[2]
    return {declared.get("version") or 1, *(declared.get("accepts") or ())}


def prepare(tasks: Sequence[NewTask]) -> None:
    """Have this plugin told of new durable tasks.

    Raises:
        EnqueueError: an option needs ``durable``, or the function is ``async def``.
    """
    for new in tasks:
        options, func = new.options, new.task.func
        if SPAWNED_BY in options:
            new.need(PLUGIN)
        if not options.get("durable"):
            for name in ("version", "accepts"):
                if name in options:
                    raise EnqueueError(
                        f"cannot send {func}: the option {name!r} is for durable tasks. Add"
                        " durable=True, or leave it out."
                    )
            continue
        if inspect.iscoroutinefunction(loaded(func)):
            raise EnqueueError(f"cannot send {func}: {NO_COROUTINE}")
        new.need(PLUGIN)


#: Why a coroutine cannot be durable: a TaskGroup would wrap the suspension in another error.
NO_COROUTINE = (
    "a durable task cannot be an 'async def'. Write it with def, and call what must be"
    " awaited with asyncio.run() in a step."
)
