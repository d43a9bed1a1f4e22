"""What tasks and groups have returned."""

from __future__ import annotations

from typing import Any

from qcore import tasks as ours
from qcore.tasks.waiting import Wait

from ..brokers import get_broker
from ..models import Task, as_task
from .defaults import UNSET, cached_or_default


def result(task_id: str, wait: Wait = 0, cached: Any = UNSET) -> Any:
    """Return the result of a task, or None; see ``qcore.tasks.result``."""
    return ours.result(task_id, wait, cached_or_default(cached))


def result_cached(task_id: str, wait: Wait = 0, broker: Any = None) -> Any:
    """Return a result that the cache keeps, or None."""
    return ours.result(task_id, wait, cached=True)


def fetch(task_id: str, wait: Wait = 0, cached: Any = UNSET) -> Task | None:
    """Return a finished task, or None; see ``qcore.tasks.fetch``."""
    return as_task(ours.fetch(task_id, wait, cached_or_default(cached)))


def fetch_cached(task_id: str, wait: Wait = 0, broker: Any = None) -> Task | None:
    """Return a finished task that the cache keeps, or None."""
    return as_task(ours.fetch(task_id, wait, cached=True))


def result_group(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    cached: Any = UNSET,
) -> list[Any] | None:
    """Return the results of a group; None where it is empty."""
    waits = _waits(wait, count)
    return (
        ours.result_group(
            group_id, failures, waits, count or None, cached_or_default(cached)
        )
        or None
    )


def result_group_cached(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    broker: Any = None,
) -> list[Any] | None:
    """Return the results of a group that the cache keeps; None where it is empty."""
    return result_group(group_id, failures, wait, count, cached=True)


def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    cached: Any = UNSET,
) -> Any:
    """Return the finished tasks of a group; None where it is empty."""
    waits, cached = _waits(wait, count), cached_or_default(cached)
    found = ours.fetch_group(group_id, failures, waits, count or None, cached)
    if not found:
        return None
    if cached:
        return [as_task(one) for one in found]
    return Task.get_task_group(group_id, failures)


def fetch_group_cached(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    broker: Any = None,
) -> Any:
    """Return the finished tasks of a group that the cache keeps."""
    return fetch_group(group_id, failures, wait, count, cached=True)


def _waits(wait: Wait, count: int | None) -> Wait:
    """In django-q, a count without a time waits for ever."""
    return -1 if count and not wait else wait


def count_group(group_id: str, failures: bool = False, cached: Any = UNSET) -> Any:
    """Count the finished tasks of a group; with ``failures`` only the failed ones.

    Of a group that the cache does not have: None.
    """
    cached = cached_or_default(cached)
    found = ours.count_group(group_id, failures, cached)
    is_unknown = cached and not found and not ours.count_group(group_id, False, cached)
    return None if is_unknown else found


def count_group_cached(
    group_id: str, failures: bool = False, broker: Any = None
) -> Any:
    """Count the finished tasks of a group that the cache keeps."""
    return count_group(group_id, failures, cached=True)


def delete_group(group_id: str, tasks: bool = False, cached: Any = UNSET) -> Any:
    """Take the label off a group, or with ``tasks`` delete its tasks."""
    if cached_or_default(cached):
        return delete_group_cached(group_id)
    return Task.delete_group(group_id, tasks)


def delete_group_cached(group_id: str, broker: Any = None) -> Any:
    """Forget a group that the cache keeps."""
    return ours.delete_group(group_id, True, cached=True)


def delete_cached(task_id: str, broker: Any = None) -> bool:
    """Forget a task that the cache keeps."""
    return ours.delete(task_id, cached=True)


def queue_size(broker: Any = None) -> Any:
    """Return how many tasks wait in the broker."""
    return (broker or get_broker()).queue_size()
