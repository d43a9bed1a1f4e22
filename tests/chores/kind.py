"""Tasks that behave."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from typing import Any

from django.utils import timezone, translation

from qcore.tasks import aenqueue, aresult, async_task, progress
from qcore.tasks.build import Running

from .ledger import LET_GO, Ledger, note


def add(left: float, right: float = 0) -> float:
    return left + right


def echo(value: Any) -> Any:
    return value


def look_up(task_id: str) -> Any:
    """Return the result of another task."""
    from qcore.tasks import result

    return result(task_id)


def fail(text: str = "as it was told") -> None:
    raise ValueError(text)


async def fail_async(text: str = "as it was told") -> None:
    raise ValueError(text)


def record(key: str, value: Any = None) -> Any:
    """Note that it ran."""
    note(key, "ran")
    return value


def nap(key: str, seconds: float) -> str:
    """Sleep, with an entry before and after."""
    note(key, "began")
    time.sleep(seconds)
    note(key, "ended")
    return key


def hold(key: str) -> str:
    """Run until the test says ``let_go(key)``, with an entry before and after."""
    note(key, "began")
    ledger = Ledger.of_this_process()
    while not ledger.entries(key, LET_GO):
        time.sleep(0.02)
    note(key, "ended")
    return key


def hold_and_return(key: str, length: int) -> str:
    """Do that, and return something large."""
    hold(key)
    return "x" * length


def wait_for_others(key: str, count: int) -> int:
    """Wait, for half a minute at most, until others have run; return how many did."""
    end = time.monotonic() + 30
    while (found := len(Ledger.of_this_process().entries(key, "ran"))) < count:
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    return found


def fail_first(key: str) -> str:
    """Fail the first time."""
    earlier = Ledger.of_this_process().entries(key, "began")
    note(key, "began")
    if not earlier:
        raise ValueError("the first time")
    return "the second time"


def fail_and_note(key: str) -> None:
    note(key, "began")
    raise ValueError("always")


def fail_slowly(key: str, seconds: float) -> None:
    """Take a while, and fail."""
    note(key, "began")
    time.sleep(seconds)
    raise ValueError("as it always does")


def join(key: str, own: str, workers: int) -> str:
    """Wait until so many workers have a task of this key, with an entry before and after."""
    note(own, "began")
    _meet(key, workers)
    note(own, "ended")
    return own


def processors(key: str, workers: int) -> list[int]:
    """Wait until so many workers have a task of this key, and say where this one may run."""
    _meet(key, workers)
    return [os.getpid(), *sorted(os.sched_getaffinity(0))]


def _meet(key: str, workers: int) -> None:
    note(key, "is here")
    ledger = Ledger.of_this_process()
    while len({entry.pid for entry in ledger.entries(key, "is here")}) < workers:
        time.sleep(0.02)


async def nap_async(key: str, seconds: float) -> str:
    note(key, "began")
    try:
        await asyncio.sleep(seconds)
    finally:
        note(key, "cleaned up")
    return key


async def start_and_not_await(key: str) -> None:
    """Start another coroutine, and end when it has begun."""
    asyncio.create_task(nap_async(key, 60))  # noqa: RUF006 - that is what is tested
    await asyncio.sleep(0)


def slow_with_clean_up(key: str, seconds: float) -> None:
    note(key, "began")
    try:
        time.sleep(seconds)
    finally:
        note(key, "cleaned up")


def hook(task: Any) -> None:
    """A task hook: note how the task ended, under its group."""
    note(task.group, f"{task.outcome} {task.name}")


def count_up(key: str, seconds: float) -> str:
    """A generator function of which a caller gets an object and no work."""
    note(key, "began")
    yield seconds


def text_of(length: int) -> str:
    return "x" * length


def language_and_zone() -> tuple[str, str]:
    return translation.get_language(), timezone.get_current_timezone_name()


def add_slowly(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


def fail_if_odd(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def note_and_return(key: str, length: int, seconds: float = 0) -> str:
    """Sleep, note that it ends, and return something large."""
    note(key, "began")
    time.sleep(seconds)
    text = "x" * length
    note(key, "ends")
    return text


def doze(seconds: float) -> None:
    time.sleep(seconds)


def send_another(number: int) -> list[int | None]:
    """Return how deep this task is before and after it has sent another one."""
    before = Running.depth
    async_task("chores.kind.add", number)
    return [before, Running.depth]


def add_nothing() -> int:
    return 0


def takes_anything(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


def takes_group(group: str) -> str:
    """Take a keyword that has the name of an option."""
    return group


def add_in_processes(count: int) -> int:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(int, range(count)))


def wall_clock() -> float:
    return time.time()


def name_of_schedule(pk: int) -> str | None:
    from qcore.models import Schedule

    return Schedule.objects.get(pk=pk).name


def nap_unless_one_does(key: str, seconds: float) -> str:
    """Take a nap, but not beside another one, as docs/how-to/schedules.md has it."""
    from django.core.cache import cache

    if not cache.add(key, True, timeout=60):
        return "skipped"
    try:
        return nap(key, seconds)
    finally:
        cache.delete(key)


async def send_and_await(queue: str, value: int) -> int | None:
    """Be a coroutine that sends another task and waits for its result."""
    task_id = await aenqueue("chores.kind.add", value, right=1, cluster=queue)
    result: int | None = await aresult(task_id, wait=20_000)
    return result


async def send_as_if_it_were_sync(queue: str) -> str:
    """Be a coroutine that calls what would keep its loop waiting."""
    return async_task("chores.kind.add", 1, cluster=queue)


def called() -> Any:
    """Be replaced by a test of this process."""


def call_called() -> Any:
    """Call what a test has put in the place of ``called``."""
    return called()


def tell_progress(key: str) -> str:
    """Tell how far it is, and then wait until the test says ``let_go(key)``."""
    progress(3, 4, "three of four")
    return hold(key)
