"""Lookup for code that runs in an event loop: between two questions, the loop is free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import lookup
from .loops import in_thread
from .waiting import (
    UNSET_CACHED,
    Cached,
    Wait,
    await_for,
    check_count,
    chosen_store,
    warn_of_pruning,
)

if TYPE_CHECKING:
    from ..results.base import Record


async def aresult(task_id: str, wait: Wait = 0, cached: Cached = UNSET_CACHED) -> Any:
    """Do what ``result`` does, for ``await``; the loop goes on while it waits."""
    record = await afetch(task_id, wait, cached)
    # a record decodes its value when it is asked, which touches no database
    return None if record is None else record.result


async def afetch(
    task_id: str, wait: Wait = 0, cached: Cached = UNSET_CACHED
) -> Record | None:
    """Do what ``fetch`` does, for ``await``; the loop goes on while it waits."""

    async def ask() -> Record | None:
        return await in_thread(lookup.fetch, task_id, 0, cached)

    return await await_for(ask, wait)


async def afetch_end(task_id: str, wait: Wait = 0) -> Record | None:
    """Do what ``fetch_end`` does, for ``await``; the loop goes on while it waits."""

    async def ask() -> Record | None:
        return await in_thread(lookup.fetch_end, task_id)

    return await await_for(ask, wait)


async def aresult_group(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    cached: Cached = UNSET_CACHED,
) -> list[Any]:
    """Do what ``result_group`` does, for ``await``; the loop goes on while it waits."""
    records = await afetch_group(group_id, failures, wait, count, cached)
    return [record.result for record in records]


async def afetch_group(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    cached: Cached = UNSET_CACHED,
) -> list[Record]:
    """Do what ``fetch_group`` does, for ``await``; the loop goes on while it waits."""
    check_count(count)

    async def ask() -> bool | None:
        found = await in_thread(lookup.fetch_group, group_id, True, 0, None, cached)
        return True if count is None or len(found) >= count else None

    if count is not None:
        await in_thread(lambda: warn_of_pruning(chosen_store(cached), count))
        await await_for(ask, wait)
    return await in_thread(lookup.fetch_group, group_id, failures, 0, None, cached)


async def aresult_cached(task_id: str, wait: Wait = 0) -> Any:
    """Return ``await aresult(task_id, wait, cached=True)``."""
    return await aresult(task_id, wait, cached=True)


async def afetch_cached(task_id: str, wait: Wait = 0) -> Record | None:
    """Return ``await afetch(task_id, wait, cached=True)``."""
    return await afetch(task_id, wait, cached=True)


async def aresult_group_cached(
    group_id: str, failures: bool = False, wait: Wait = 0, count: int | None = None
) -> list[Any]:
    """Return ``await aresult_group(..., cached=True)``."""
    return await aresult_group(group_id, failures, wait, count, cached=True)


async def afetch_group_cached(
    group_id: str, failures: bool = True, wait: Wait = 0, count: int | None = None
) -> list[Record]:
    """Return ``await afetch_group(..., cached=True)``."""
    return await afetch_group(group_id, failures, wait, count, cached=True)
