"""The memory broker keeps the contract, and stays in its process."""

from __future__ import annotations

from typing import Any

import pytest

from qcore import Conf
from qcore.brokers import memory
from qcore.brokers.memory import MemoryBroker
from qcore.testing import BrokerContract
from qcore.testing.contracts.brokers.case import Connect


class FakeClock:
    """What the broker takes for the module ``time``; it moves when it is told to."""

    real = False

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    monotonic = time = now

    def advance(self, seconds: float) -> None:
        self.at += seconds


class TestMemoryBroker(BrokerContract):
    """Everything but durability, in one process."""

    lease = 0.5
    crosses_processes = False
    seeds = range(10)

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
        clock = FakeClock()
        monkeypatch.setattr(memory, "time", clock)
        monkeypatch.setattr(memory, "elapsed", clock.now)
        return clock

    @pytest.fixture
    def make_broker(self) -> Connect:
        def make(queue: str | None = None, **settings: Any) -> MemoryBroker:
            return MemoryBroker(Conf.from_dict(settings), queue)

        return make
