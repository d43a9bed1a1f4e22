"""Lookup: the results of a task or of a group, from the database or the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .ended import is_over
from .waiting import (
    UNSET_CACHED,
    Cached,
    Wait,
    check_count,
    check_wait,
    chosen_store,
    is_possible,
    wait_for,
    warn_of_pruning,
)

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..results.base import Record


# -- one task ------------------------------------------------------------------------
def result(task_id: str, wait: Wait = 0, cached: Cached = UNSET_CACHED) -> Any:
    """Return the value of a task or the text of its error; None while the task has no result.

    Args:
        task_id: its id or its name.
        wait: milliseconds to wait for it; -1 waits for ever.
        cached: look in the cache instead of the database.

    Raises:
        CallError: an argument is wrong, or an event loop would wait: see ``aresult``.
    """
    record = _fetch(task_id, wait, cached, "result")
    return None if record is None else record.result


def fetch(task_id: str, wait: Wait = 0, cached: Cached = UNSET_CACHED) -> Record | None:
    """Return the finished task, with its result, or None; see ``result``."""
    return _fetch(task_id, wait, cached, "fetch")


def fetch_end(task_id: str, wait: Wait = 0) -> Record | None:
    """Return a task that has ended for good, or None; see ``result``.

    An attempt that failed, after which the task is tried again, is waited out.
    """
    store = chosen_store(None, "fetch")
    return wait_for(lambda: ended(store.fetch(task_id)), wait)


def ended(record: Record | None) -> Record | None:
    """Return the record of a task that has ended for good; None of any other."""
    is_end = record is not None and (record.success or is_over(record))
    return record if is_end else None


def _fetch(task_id: str, wait: Wait, cached: Cached, call: str) -> Record | None:
    store = chosen_store(cached, call)
    if not is_possible(task_id, "the id or name of a task"):
        check_wait(wait)
        return None  # no task can be called so, now or later
    return wait_for(lambda: store.fetch(task_id), wait)


def delete(task_id: str, cached: Cached = UNSET_CACHED) -> bool:
    """Forget the result of a task; return whether there was one."""
    store = chosen_store(cached, "delete")
    return is_possible(task_id, "the id or name of a task") and store.delete(task_id)


# -- groups --------------------------------------------------------------------------
def result_group(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    cached: Cached = UNSET_CACHED,
) -> list[Any]:
    """Return the results of a group's tasks.

    Args:
        group_id: the label.
        failures: include the error texts of failures.
        wait: milliseconds to wait for ``count`` results; -1 waits for ever.
        count: how many finished tasks to wait for.
        cached: look in the cache instead of the database.
    """
    found = _fetch_group(group_id, failures, wait, count, cached, "result_group")
    return [record.result for record in found]


def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    cached: Cached = UNSET_CACHED,
) -> list[Record]:
    """Return the finished tasks of a group; ``failures`` includes those. See ``result_group``."""
    return _fetch_group(group_id, failures, wait, count, cached, "fetch_group")


def _fetch_group(
    group_id: str,
    failures: bool,
    wait: Wait,
    count: int | None,
    cached: Cached,
    call: str,
) -> list[Record]:
    store = chosen_store(cached, call)
    check_wait(wait)
    check_count(count)
    if not is_possible(group_id, "the label of a group"):
        return []
    if count is not None:
        warn_of_pruning(store, count)
        wait_for(lambda: _finished(store.fetch_group(group_id, True), count), wait)
    return store.fetch_group(group_id, failures)


def _finished(records: list[Record], count: int) -> bool | None:
    return True if len(records) >= count else None


def count_group(
    group_id: str, failures: bool = False, cached: Cached = UNSET_CACHED
) -> int:
    """Count the finished tasks of a group; with ``failures`` only the failed ones."""
    store = chosen_store(cached, "count_group")
    if not is_possible(group_id, "the label of a group"):
        return 0
    return store.count_group(group_id, failures)


def delete_group(
    group_id: str, tasks: bool = False, cached: Cached = UNSET_CACHED
) -> int:
    """Remove the label from a group's tasks, or with ``tasks`` their results.

    Returns:
        How many tasks that were.
    """
    store = chosen_store(cached, "delete_group")
    if not is_possible(group_id, "the label of a group"):
        return 0
    return store.delete_group(group_id, tasks)


# -- the same, from the cache ----------------------------------------------------------
def result_cached(task_id: str, wait: Wait = 0, broker: Broker | None = None) -> Any:
    """Return ``result(task_id, wait, cached=True)``; ``broker`` is not needed any more."""
    return result(task_id, wait, cached=True)


def fetch_cached(
    task_id: str, wait: Wait = 0, broker: Broker | None = None
) -> Record | None:
    """Return ``fetch(task_id, wait, cached=True)``."""
    return fetch(task_id, wait, cached=True)


def delete_cached(task_id: str, broker: Broker | None = None) -> bool:
    """Return ``delete(task_id, cached=True)``."""
    return delete(task_id, cached=True)


def result_group_cached(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    broker: Broker | None = None,
) -> list[Any]:
    """Return ``result_group(..., cached=True)``."""
    return result_group(group_id, failures, wait, count, cached=True)


def fetch_group_cached(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    broker: Broker | None = None,
) -> list[Record]:
    """Return ``fetch_group(..., cached=True)``."""
    return fetch_group(group_id, failures, wait, count, cached=True)


def count_group_cached(
    group_id: str, failures: bool = False, broker: Broker | None = None
) -> int:
    """Return ``count_group(..., cached=True)``."""
    return count_group(group_id, failures, cached=True)


def delete_group_cached(
    group_id: str, tasks: bool = True, broker: Broker | None = None
) -> int:
    """Forget the cached results of a group; return how many they were."""
    return delete_group(group_id, tasks, cached=True)
