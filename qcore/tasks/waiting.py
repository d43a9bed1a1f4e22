"""Waiting: asking a store again until it has an answer or the time is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from ..conf.names import encodable, shown
from ..errors import CallError
from ..runtime import current
from .loops import refuse_in_loop

if TYPE_CHECKING:
    from ..results.base import ResultStore

T = TypeVar("T")

Wait = int  # milliseconds; -1: for ever
Cached = bool | float | None
#: "as the setting `cached` says"
UNSET_CACHED: Final = None

#: Milliseconds, nearly 32 years; longer is -1, for ever.
LONGEST = 10**12

# Seconds between two questions: quick at first, for results that are nearly there,
# then slower, so that a long wait costs the database little.
_FIRST, _GROWTH, _LONGEST = 0.002, 1.5, 0.1


def chosen_store(cached: Cached, call: str = "fetch") -> ResultStore:
    """Return the store that ``cached``, or else the setting of that name, chooses.

    Args:
        cached: what the caller says.
        call: the call that asks, for the error where it would block an event loop.

    Raises:
        CallError: ``cached`` is neither, or an event loop would wait.
    """
    if cached is not None and not isinstance(cached, (bool, int, float)):
        raise CallError(
            f"cached is {shown(cached)}, expected True for the cache, False for the"
            " database, or None for the setting 'cached'."
        )
    store = current.store(current.conf.cached if cached is None else cached)
    if store.blocks:
        refuse_in_loop(call, f"a{call}")
    return store


def is_possible(name: object, what: str) -> bool:
    """Return whether anything can have this id, name or label; no text is refused.

    Raises:
        CallError: it is no text.
    """
    if isinstance(name, str):
        return bool(name) and "\0" not in name and encodable(name)
    raise CallError(f"{what} is {shown(name)}, expected a text.")


def check_wait(wait: object) -> None:
    """Raise CallError unless ``wait`` is a number of milliseconds."""
    is_number = isinstance(wait, (int, float)) and not isinstance(wait, bool)
    if not is_number or not (wait == -1 or 0 <= wait <= LONGEST):  # type: ignore[operator]
        raise CallError(
            f"wait is {shown(wait)}, expected milliseconds >= 0, or -1 to wait for ever."
        )


def check_count(count: object) -> None:
    """Raise CallError unless ``count`` is a number of tasks."""
    is_int = isinstance(count, int) and not isinstance(count, bool)
    if count is not None and not (is_int and count >= 0):  # type: ignore[operator]
        raise CallError(
            f"count is {shown(count)}, expected how many finished tasks to wait for, or"
            " None."
        )


def warn_of_pruning(store: ResultStore, count: int) -> None:
    """Warn once: the caller waits for more successes than the store may keep.

    How many tasks a group has is known to whoever waits for it, and to nobody else. So
    the oldest results of a group may be pruned before its last task has ended.
    """
    limit = current.conf.save_limit
    if store.database is not None and 0 < limit < count:
        current.tell(
            f"{count:,} tasks of a group are waited for, and save_limit keeps"
            f" {limit:,} successes: the first results may be gone before the last one is"
            " there. Raise Q_CLUSTER['save_limit'], or use async_iter, whose calls are"
            " kept until they are joined."
        )


def pauses() -> Iterator[float]:
    """Yield the seconds between two questions, without end."""
    pause = _FIRST
    while True:
        yield pause
        pause = min(pause * _GROWTH, _LONGEST)


def wait_for(ask: Callable[[], T | None], wait: Wait) -> T | None:
    """Ask until the answer is not None, for up to ``wait`` milliseconds; -1: for ever."""
    check_wait(wait)
    deadline = None if wait < 0 else time.monotonic() + wait / 1000
    for pause in pauses():
        if (answer := ask()) is not None:
            return answer
        left = pause if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
    return None


async def await_for(ask: Callable[[], Awaitable[T | None]], wait: Wait) -> T | None:
    """Ask until the answer is not None, for up to ``wait`` milliseconds; -1: for ever."""
    check_wait(wait)
    deadline = None if wait < 0 else time.monotonic() + wait / 1000
    for pause in pauses():
        if (answer := await ask()) is not None:
            return answer
        left = pause if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return None
        await asyncio.sleep(min(pause, left))
    return None
