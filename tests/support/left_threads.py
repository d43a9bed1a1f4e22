"""Threads that a file of tests started and left running.

They go on while other tests run: they read a clock that is patched, log, hold connections,
and count as threads of the next fork. The last test of the file fails, with their names.
A pytest plugin, asked for by name: ``-p support.left_threads``.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from qcore.testing.speed import Patience

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

Threads = set[threading.Thread]
#: Seconds in which a thread that was told to end does so: drivers look twice a second.
TO_END = 10.0


class LeftThreads:
    """Knows which threads were there before a file of tests."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._known: Threads = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.path != self._file:
            self._file, self._known = item.path, set(threading.enumerate())

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Excuse what lasts for the session."""
        before = set(threading.enumerate())
        try:
            return (yield)
        finally:
            if fixturedef.scope == "session":
                self._known |= set(threading.enumerate()) - before

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None]:
        yield
        if nextitem is not None and nextitem.path == item.path:
            return
        if left := still_running(self._known):
            names = ", ".join(sorted(described(thread) for thread in left))
            pytest.fail(
                f"{item.path.name} has left threads running: {names}. They run while"
                " other tests do. Close what started them.",
                pytrace=False,
            )


def still_running(known: Threads) -> Threads:
    """Return the threads that are not known and do not end, either."""
    left = set(threading.enumerate()) - known - of_asgiref()
    if left:
        gc.collect()  # a pool that nobody has any more lets its threads go
        patience = Patience(TO_END)
        while left and not patience.is_over():
            time.sleep(0.02)
            left = {thread for thread in left if thread.is_alive()}
    return left


def of_asgiref() -> Threads:
    """Return the one thread that runs synchronous code for all event loops."""
    module = sys.modules.get("asgiref.sync")
    return set(module.SyncToAsync.single_thread_executor._threads) if module else set()


def described(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None)
    what = getattr(target, "__qualname__", None)
    return f"{thread.name} ({what})" if what else thread.name


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LeftThreads())
