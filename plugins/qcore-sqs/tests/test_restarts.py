"""A service that is killed, or ends in order, and comes back with its queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qcore.testing.contracts.brokers.faults import FaultsContract
from qcore_sqs.broker import SQSBroker

if TYPE_CHECKING:
    from servers.sqs import MinistackServer

Open = Callable[..., SQSBroker]


class TestRestarts(FaultsContract):
    """What the contract asks of a durable service, without the rest of it.

    moto, which is asked everything in a quick run, keeps its queues in memory.
    """

    lease = 2  # SQS counts in whole seconds
    # moto is asked these
    test_dead_service = test_dead_service_can_be_closed = test_restart_heals = None

    @pytest.fixture
    def make_broker(
        self, durable_ministack_server: MinistackServer, open_broker: Open
    ) -> Open:
        return lambda queue=None, **settings: open_broker(
            durable_ministack_server.url, queue, **settings
        )

    @pytest.fixture
    def restart_service(
        self, durable_ministack_server: MinistackServer
    ) -> Callable[[bool], None]:
        return durable_ministack_server.restart
