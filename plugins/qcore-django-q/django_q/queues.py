"""A queue between processes whose size is known on every system."""

from __future__ import annotations

import multiprocessing
import multiprocessing.queues
from typing import Any, cast


class SharedCounter:
    """A number that processes share."""

    def __init__(self, n: int = 0) -> None:
        self.count: Any = multiprocessing.Value("i", n)

    def increment(self, n: int = 1) -> None:
        """Add ``n``."""
        with self.count.get_lock():
            self.count.value += n

    @property
    def value(self) -> int:
        """The number now."""
        return int(self.count.value)


class Queue(multiprocessing.queues.Queue):  # type: ignore[type-arg]
    """``multiprocessing.Queue`` that counts what was put in and not taken out."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize, ctx=multiprocessing.get_context())
        self.size = SharedCounter(0)

    def __getstate__(self) -> Any:
        return (*cast("tuple[Any, ...]", super().__getstate__()), self.size)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[:-1])
        self.size = state[-1]

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(obj, block, timeout)
        self.size.increment(1)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        found = super().get(block, timeout)
        self.size.increment(-1)
        return found

    def qsize(self) -> int:
        return self.size.value

    def empty(self) -> bool:
        return self.qsize() <= 0
