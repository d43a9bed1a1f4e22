"""Enqueueing, measured from one process: one by one, and in batches."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..tasks import async_task, async_task_many
from .tasks import noop

#: Tasks of one batch: that many arguments are built before any of them is sent.
BATCH = 1000


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the ids of sent tasks are noted, or their results would stay."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Sent:
    """The tasks that have been sent; the number of each is its argument.

    Args:
        options: of ``async_task``, for all of them.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.ids: list[str] = []
        self._options = options

    def one(self) -> int:
        """Send a task and return its number."""
        number = len(self.ids)
        with _uninterrupted():
            self.ids.append(async_task(noop, number, **self._options))
        return number

    def many(self, count: int) -> None:
        """Send a batch."""
        first = len(self.ids)
        arguments = [(number,) for number in range(first, first + count)]
        with _uninterrupted():
            self.ids += async_task_many(noop, arguments, **self._options)


@dataclass(frozen=True, slots=True)
class Sending:
    """What one way of sending showed."""

    tasks: int
    seconds: float
    batch: int  # tasks in one call

    @property
    def per_second(self) -> float:
        """Tasks sent in a second."""
        return self.tasks / self.seconds


def one_by_one(sent: Sent, tasks: int, seconds: float) -> Sending:
    """Send tasks with one call for each, for so many seconds at most."""
    sent.one()  # it connects
    began = time.perf_counter()
    done = 0
    while done < tasks and time.perf_counter() - began < seconds:
        sent.one()
        done += 1
    return Sending(done, time.perf_counter() - began, 1)


def in_batches(sent: Sent, tasks: int, seconds: float) -> Sending:
    """Send tasks with one call for up to a thousand, for so many seconds at most."""
    sent.one()
    began = time.perf_counter()
    done = 0
    while done < tasks and time.perf_counter() - began < seconds:
        count = min(BATCH, tasks - done)
        sent.many(count)
        done += count
    return Sending(done, time.perf_counter() - began, min(BATCH, tasks))
