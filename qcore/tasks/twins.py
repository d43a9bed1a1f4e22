"""Twins: the calls of ``qcore.tasks`` for code that runs in an event loop.

A twin runs its call in the thread that Django keeps for synchronous code
(``sync_to_async``, thread-sensitive): with the connections, the transaction and the
context variables that other synchronous code of the same request has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from . import compose, enqueueing, lookup
from .loops import in_thread

P = ParamSpec("P")
T = TypeVar("T")


def twin_of(call: Callable[P, T], name: str) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the twin of a call, with its signature."""

    @functools.wraps(call)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> T:
        return await in_thread(call, *args, **kwargs)

    twin.__doc__ = f"Do what ``{call.__name__}`` does, for ``await``."
    twin.__name__ = twin.__qualname__ = name
    twin.__module__ = __name__
    return twin


# -- sending -----------------------------------------------------------------------------
aenqueue = twin_of(enqueueing.async_task, "aenqueue")
aenqueue_many = twin_of(enqueueing.async_task_many, "aenqueue_many")
aenqueue_iter = twin_of(compose.async_iter, "aenqueue_iter")
aenqueue_chain = twin_of(compose.async_chain, "aenqueue_chain")
aschedule = twin_of(enqueueing.schedule, "aschedule")
aqueue_size = twin_of(enqueueing.queue_size, "aqueue_size")

# -- looking up, at once -------------------------------------------------------------------
adelete = twin_of(lookup.delete, "adelete")
adelete_cached = twin_of(lookup.delete_cached, "adelete_cached")
acount_group = twin_of(lookup.count_group, "acount_group")
acount_group_cached = twin_of(lookup.count_group_cached, "acount_group_cached")
adelete_group = twin_of(lookup.delete_group, "adelete_group")
adelete_group_cached = twin_of(lookup.delete_group_cached, "adelete_group_cached")
