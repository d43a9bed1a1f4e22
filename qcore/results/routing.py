"""Routing: whether a result is stored, and in which store."""

from __future__ import annotations

from collections.abc import Iterable

from ..conf import Conf
from ..envelope import Result, Task, choose


def is_cached(task: Task, conf: Conf) -> float | bool:
    """Return False, or for how long the cache keeps a result: seconds, True for ever."""
    cached: float | bool = choose(task.options.cached, conf.cached)
    return cached


def is_saved(result: Result, conf: Conf) -> bool:
    """Return whether a result is kept at all.

    Failures always are, and so are the calls of an ``async_iter``, which are joined
    from what is stored.
    """
    task = result.task
    if not result.success or task.iter_count is not None:
        return True
    return bool(choose(task.options.save, conf.save_limit >= 0))


def split(results: Iterable[Result], conf: Conf) -> tuple[list[Result], list[Result]]:
    """Return the results for the database and those for the cache."""
    database: list[Result] = []
    cache: list[Result] = []
    for result in results:
        if is_saved(result, conf):
            (cache if is_cached(result.task, conf) else database).append(result)
    return database, cache
