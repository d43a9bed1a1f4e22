"""Dead tasks: what has failed for good, listed in groups of the same error, and discarded.

``resend`` sends one of them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..conf.names import shown
from ..errors import CallError
from .task_ids import require_id, required_ids
from .waiting import chosen_store

if TYPE_CHECKING:
    from ..results.base import Record
    from ..results.dead import DeadGroup


def dead_groups(limit: int | None = None) -> list[DeadGroup]:
    """Return the dead tasks in groups of one function and one error.

    Args:
        limit: groups at most; None: all of them.

    Returns:
        Each with ``func``, ``fingerprint``, ``count``, ``first`` and ``last`` (when they failed
        for good), ``example`` (the id of the newest) and ``error`` (its first line). The
        group with the latest failure comes first.

    Raises:
        CallError: an argument is wrong, or an event loop would wait: see ``adead_groups``.
        StoreRefused: the result store cannot list dead tasks, such as a cache.
        StoreError: the results cannot be read now.
    """
    store = chosen_store(None, "dead_groups")
    if limit is not None:
        _check_limit(limit)
    return store.dead_groups(limit)


def dead_tasks(
    func: str | None = None,
    fingerprint: str | None = None,
    *,
    before: str | None = None,
    limit: int = 100,
) -> list[Record]:
    """Return dead tasks, the newest one first.

    Args:
        func: dotted path of a function: only its tasks.
        fingerprint: of an error: only those that failed so.
        before: the id of a task: only older ones, to read on where a page has ended.
        limit: tasks at most.

    Returns:
        Finished tasks, as ``fetch`` returns them.

    Raises:
        CallError: an argument is wrong, or an event loop would wait: see ``adead_tasks``.
        StoreRefused: the result store cannot list dead tasks, such as a cache.
        StoreError: the results cannot be read now.
    """
    store = chosen_store(None, "dead_tasks")
    _check_text("func", func)
    _check_text("fingerprint", fingerprint)
    if before is not None:
        require_id(before, "dead_tasks")
    _check_limit(limit)
    return store.dead_tasks(func, fingerprint, before=before, limit=limit)


def discard_dead(tasks: str | Iterable[str]) -> list[str]:
    """Delete the results of dead tasks for good.

    Args:
        tasks: the id of a task, or several. A task that is not dead is left alone.

    Returns:
        The ids of the tasks whose results were deleted.

    Raises:
        CallError: one of the ids is not valid, or an event loop would wait: see
            ``adiscard_dead``.
        StoreRefused: the result store cannot discard dead tasks, such as a cache.
        StoreError: nothing was deleted.
    """
    store = chosen_store(None, "discard_dead")
    ids = required_ids(tasks, "discard_dead")
    return store.discard_dead(ids)


def _check_text(what: str, value: object) -> None:
    if value is not None and not (isinstance(value, str) and "\0" not in value):
        raise CallError(f"{what} is {shown(value)}, expected a text or None.")


def _check_limit(limit: object) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise CallError(f"limit is {shown(limit)}, expected a whole number > 0.")
