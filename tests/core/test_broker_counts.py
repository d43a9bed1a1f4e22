"""A broker may count what waits, and not what is claimed."""

from __future__ import annotations

from typing import Any

import pytest

from qcore import Conf
from qcore.brokers.base import Broker
from qcore.brokers.memory import MemoryBroker
from qcore.testing.contracts.brokers.case import Connect
from qcore.testing.contracts.brokers.flags import FlagsContract
from qcore.testing.contracts.brokers.upkeep import UpkeepContract


class WaitingOnly(MemoryBroker):
    """Counts what waits, as a service does that does not tell what is claimed."""

    counts_claimed = False

    def lock_size(self) -> int:
        return Broker.lock_size(self)


class TestWaitingOnly(UpkeepContract, FlagsContract):
    """One of the two counts is enough for the capability ``counts``."""

    lease = 0.5
    crosses_processes = False

    @pytest.fixture
    def make_broker(self) -> Connect:
        def make(queue: str | None = None, **settings: Any) -> WaitingOnly:
            return WaitingOnly(Conf.from_dict(settings), queue)

        return make


def test_sizes_have_none_for_what_is_not_counted() -> None:
    conf = Conf.from_dict({})
    both, waiting = MemoryBroker(conf, "sizes"), WaitingOnly(conf, "sizes")
    both.enqueue_many([b"a", b"b"])
    both.dequeue(1)
    assert (both.sizes(), waiting.sizes()) == ((1, 1), (1, None))
    assert Broker(conf, "sizes").sizes() == (None, None)
    both.purge_queue()
