"""Event loops: a call that would block one is refused, with the name of its async variant."""

from __future__ import annotations

import os
from asyncio import _get_running_loop  # C, 40 ns; get_running_loop raises instead
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ..errors import CallError
from ..runtime import current

if TYPE_CHECKING:
    from ..brokers.base import Broker

P = ParamSpec("P")
T = TypeVar("T")

#: Django's own variable, for notebooks, in which a loop always runs.
ALLOW = "DJANGO_ALLOW_ASYNC_UNSAFE"


def refuse_in_loop(call: str, variant: str) -> None:
    """Refuse a call that waits for a service, where an event loop runs in this thread.

    Raises:
        CallError: with what to write instead.
    """
    if is_refused_in_loop():
        raise CallError(
            f"{call}() was called in an event loop and would block it."
            f" Write: await {variant}(...). (In a notebook, set {ALLOW}=true.)"
        )


def refuse_with_in_loop(kind: str) -> None:
    """Refuse a ``with`` block that waits for a service, as ``refuse_in_loop`` does a call.

    Raises:
        CallError: with what to write instead.
    """
    if is_refused_in_loop():
        raise CallError(
            f"`with {kind}(...)` was written in an event loop and would block it."
            f" Write: async with {kind}(...). (In a notebook, set {ALLOW}=true.)"
        )


def is_refused_in_loop() -> bool:
    """Whether an event loop runs in this thread that a call may not block."""
    return _get_running_loop() is not None and not os.environ.get(ALLOW)


def refuse_broker_in_loop(broker: Broker | None, call: str, variant: str) -> None:
    """Refuse a call that sends through a broker; None is the project's own.

    It is judged by its class: made here, it would keep the connection that Django has
    for the loop, and use that outside of the loop, too.

    Raises:
        CallError: an event loop runs in this thread, and the broker would block it.
    """
    if _get_running_loop() is None:
        return
    kind = type(broker) if broker else current.choice("broker").load()
    if kind.blocks:
        refuse_in_loop(call, variant)


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a call returns that waits for a service."""
    # Django's, so imported late
    from asgiref.sync import sync_to_async

    return await sync_to_async(call, thread_sensitive=True)(*args, **kwargs)


@asynccontextmanager
async def own_thread() -> AsyncGenerator[None]:
    """Give the synchronous code of a coroutine a thread that ends with it.

    Otherwise asgiref would run it in one that all coroutines of the process have, and a
    task would find the connections there as the task before has left them.
    """
    from asgiref.sync import SyncToAsync, ThreadSensitiveContext

    async with ThreadSensitiveContext() as context:
        try:
            yield
        finally:
            if context in SyncToAsync.context_to_thread_executor:  # it was used
                await in_thread(_close)


def _close() -> None:
    from django.db import connections

    current.close()
    connections.close_all()
