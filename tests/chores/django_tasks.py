"""Tasks of ``django.tasks``, for clusters and for calls in this process."""

from __future__ import annotations

import os
import sys
from typing import Any

import qcore
from qcore.backend.api import task

from .kind import hold
from .ledger import Ledger, note


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
async def add_async(x: int, y: int = 1) -> int:
    return x + y


@qcore.task(backend="default", max_attempts=5, timeout=30, group="receipts")
def receipt(order_id: int, hook: str = "") -> str:
    """Return a receipt: a task function of qcore, and a task of Django."""
    return f"receipt of order {order_id}{hook}"


@qcore.task(backend="default")
async def rate(currency: str) -> float:
    return {"EUR": 1.0, "CHF": 1.1}[currency]


@task
def echo(*args: Any, **kwargs: Any) -> Any:
    return [args, kwargs]


@task
def fail(text: str = "as it was told") -> None:
    raise ValueError(text)


@task
def leave() -> None:
    sys.exit(3)


@task
def give(what: str) -> Any:
    """Return something that is, or is not, for JSON."""
    return {"object": object(), "tuple": (1, b"x"), "bytes": b"\xff"}[what]


@task(takes_context=True)
def tell(context: Any, *args: Any) -> list[Any]:
    """Say what a task knows of itself while it runs."""
    result = context.task_result
    stored = tell.get_result(result.id)
    return [
        context.attempt,
        result.status,
        result.worker_ids,
        stored.status,
        stored.worker_ids,
        list(args),
    ]


@task
def named(
    hook: int, group: int, timeout: int, task: int, func: int, args: int, kwargs: int,
    sync: int, broker: int, cluster: int, queue: int, track: int, name: int, q_options: int,
) -> int:  # fmt: skip
    """Take keywords that elsewhere are options."""
    return (
        hook + group + timeout + task + func + args + kwargs
        + sync + broker + cluster + queue + track + name + q_options
    )  # fmt: skip


@task
def held(key: str) -> str:
    """Run until the test lets it go."""
    return hold(key)


@task
def die(key: str) -> None:
    """Kill the worker, in every attempt."""
    note(key, "began")
    os.kill(os.getpid(), 9)


@task(takes_context=True)
def fail_first(context: Any, key: str) -> int:
    """Fail in the first attempt."""
    note(key, "began")
    if len(Ledger.of_this_process().entries(key, "began")) == 1:
        raise ValueError("the first time")
    return int(context.attempt)


def _plain() -> None:
    """Be the function of a task whose path leads here, and not to the task."""


plain_task = task(_plain)


@task
def twice() -> int:
    return 1


shadowed = twice


@task  # type: ignore[no-redef]
def twice() -> int:
    """Take the name of another task."""
    return 2
