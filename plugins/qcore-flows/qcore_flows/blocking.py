"""Calls that wait for the ledger's database, and their async variants."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from qcore.tasks.loops import in_thread, refuse_in_loop

P = ParamSpec("P")
T = TypeVar("T")


def blocking(call: Callable[P, T]) -> Callable[P, T]:
    """Have a call refused in an event loop, with the name of its async variant.

    The call then raises ``CallError`` there.
    """

    @functools.wraps(call)
    def refusing(*args: P.args, **kwargs: P.kwargs) -> T:
        refuse_in_loop(call.__qualname__, f"a{call.__name__}")
        return call(*args, **kwargs)

    return refusing


def async_variant(call: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the async variant of a call, with its signature.

    It runs the call in the thread that Django keeps for synchronous code, with the
    connections and the context variables of the caller.
    """

    @functools.wraps(call)
    async def variant(*args: P.args, **kwargs: P.kwargs) -> T:
        return await in_thread(call, *args, **kwargs)

    owner, dot, last = call.__qualname__.rpartition(".")
    variant.__doc__ = f"Do what ``{last}`` does, for ``await``."
    variant.__name__ = f"a{last}"
    variant.__qualname__ = f"{owner}{dot}a{last}"
    return variant
