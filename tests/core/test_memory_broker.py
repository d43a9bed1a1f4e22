"""The memory broker keeps the contract, and stays in its process."""

from __future__ import annotations

from typing import Any

import pytest

from qcore import Conf
from qcore.brokers.memory import MemoryBroker
from qcore.testing import BrokerContract
from qcore.testing.brokers.case import Connect


class TestMemoryBroker(BrokerContract):
    """Everything but durability, in one process."""

    lease = 0.5
    crosses_processes = False

    @pytest.fixture
    def make_broker(self) -> Connect:
        def make(queue: str | None = None, **settings: Any) -> MemoryBroker:
            return MemoryBroker(Conf.from_dict(settings), queue)

        return make
