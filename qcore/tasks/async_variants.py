"""Async variants: the calls of ``qcore.tasks`` for code that runs in an event loop.

A variant runs its call in the thread that Django keeps for synchronous code
(``sync_to_async``, thread-sensitive): with the connections, the transaction and the
context variables that other synchronous code of the same request has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from . import chains, control, dead, enqueueing, iters, lookup, resending, state
from .loops import in_thread

P = ParamSpec("P")
T = TypeVar("T")


def async_variant(
    call: Callable[P, T], name: str
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the variant of a call, with its signature."""

    @functools.wraps(call)
    async def variant(*args: P.args, **kwargs: P.kwargs) -> T:
        return await in_thread(call, *args, **kwargs)

    variant.__doc__ = f"Do what ``{call.__name__}`` does, for ``await``."
    variant.__name__ = variant.__qualname__ = name
    variant.__module__ = __name__
    return variant


# -- sending -----------------------------------------------------------------------------
aenqueue = async_variant(enqueueing.async_task, "aenqueue")
aenqueue_many = async_variant(enqueueing.async_task_many, "aenqueue_many")
aenqueue_iter = async_variant(iters.async_iter, "aenqueue_iter")
aenqueue_chain = async_variant(chains.async_chain, "aenqueue_chain")
aschedule = async_variant(enqueueing.schedule, "aschedule")
aqueue_size = async_variant(enqueueing.queue_size, "aqueue_size")

# -- looking up, at once -------------------------------------------------------------------
astatus = async_variant(state.status, "astatus")
adelete = async_variant(lookup.delete, "adelete")
adelete_cached = async_variant(lookup.delete_cached, "adelete_cached")
acount_group = async_variant(lookup.count_group, "acount_group")
acount_group_cached = async_variant(lookup.count_group_cached, "acount_group_cached")
adelete_group = async_variant(lookup.delete_group, "adelete_group")
adelete_group_cached = async_variant(lookup.delete_group_cached, "adelete_group_cached")

# -- control -------------------------------------------------------------------------------
acancel = async_variant(control.cancel, "acancel")
apause = async_variant(control.pause, "apause")
aresume = async_variant(control.resume, "aresume")
apaused = async_variant(control.paused, "apaused")

# -- dead tasks, and sending again ------------------------------------------------------------
adead_groups = async_variant(dead.dead_groups, "adead_groups")
adead_tasks = async_variant(dead.dead_tasks, "adead_tasks")
adiscard_dead = async_variant(dead.discard_dead, "adiscard_dead")
aresend = async_variant(resending.resend, "aresend")
aresend_many = async_variant(resending.resend_many, "aresend_many")
