"""Runs in: pusher and loop. How many more jobs this cluster may claim."""

from __future__ import annotations

import math
import threading
import time


class Capacity:
    """Counts what waits in memory, and lets the pusher sleep until more may come.

    Args:
        limit: jobs that may wait for a worker (setting ``queue_limit``).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._arriving = 0  # handed over by the pusher, not yet seen by the loop
        self._waiting = 0
        self._idle = 0
        self._closed = False
        self._paused_until = 0.0  # monotonic
        self._sleeping = False

    def _free(self) -> int:
        if self._closed or (
            self._paused_until and time.monotonic() < self._paused_until
        ):
            return 0
        return self._limit + self._idle - self._waiting - self._arriving

    def _is_worth_it(self) -> bool:
        """Whether to claim now: a worker is idle, or half of the capacity is free.

        So the pusher claims batches, and not one package after each task that has ended.
        """
        free = self._free()
        return free > 0 and (self._idle > 0 or free >= max(1, self._limit // 2))

    def wait(self, timeout: float) -> int:
        """Return how many jobs may be claimed, waiting up to ``timeout`` seconds."""
        with self._changed:
            if not self._is_worth_it():
                self._sleeping = True
                self._changed.wait(timeout)
                self._sleeping = False
            return max(0, self._free())

    def arrive(self, count: int) -> None:
        """Note that the pusher hands jobs over."""
        with self._changed:
            self._arriving += count

    def update(self, arrived: int, waiting: int, idle: int, limit: int) -> None:
        """Note how many jobs the loop has; the loop says so once in each round."""
        with self._changed:
            self._arriving -= arrived
            self._waiting = waiting
            self._idle = idle
            self._limit = limit
            if self._sleeping and self._is_worth_it():
                self._changed.notify()

    def pause(self, seconds: float = math.inf) -> None:
        """Let nothing be claimed until ``resume``, or until so many seconds are over."""
        with self._changed:
            self._paused_until = time.monotonic() + seconds

    def resume(self) -> None:
        """Let packages be claimed again."""
        with self._changed:
            self._paused_until = 0.0
            self._changed.notify()

    def close(self) -> None:
        """Claim nothing any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
