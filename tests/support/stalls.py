"""Threads that stand still at any moment, as on a machine with other work to do.

A pytest plugin, asked for by name, that finds tests which lose a race now and then::

    python3 noxfile.py -s tests -- -p support.stalls --stall-seed 3 tests/engine

While a test runs, its threads stand still for `STALL` seconds at some of the calls and
returns of functions of qcore and of the tests. The seed decides which. A test that fails
depends on the order in which threads go on, or on how long something takes.
"""

from __future__ import annotations

import random
import sys
import threading
import time
import zlib
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

#: Seconds; longer than a test that guesses would wait.
STALL = 0.15
#: How many times all threads of one test together stand still at most.
MOST = 8
#: How likely it is at one call or return.
CHANCE = 0.02
#: A thread that is young has more to get wrong: how likely it is at its first calls.
YOUNG = 0.15
_FIRST = 30


class Stalls:
    """Lets threads stand still."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._left = 0
        self._random = random.Random()
        self._age = threading.local()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        self._random.seed(zlib.crc32(item.nodeid.encode()) + self._seed)
        self._left = MOST
        threading.setprofile(self._look)
        sys.setprofile(self._look)
        try:
            yield
        finally:
            self._left = 0
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    def _look(self, frame: FrameType, event: str, _argument: Any) -> None:
        if self._left <= 0 or event not in ("call", "return"):
            return
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("qcore", "test_", "support", "chores")):
            return
        self._age.calls = age = getattr(self._age, "calls", 0) + 1
        if self._random.random() < (YOUNG if age < _FIRST else CHANCE):
            self._left -= 1
            time.sleep(STALL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stall-seed", type=int, default=1)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Stalls(config.getoption("--stall-seed")))
