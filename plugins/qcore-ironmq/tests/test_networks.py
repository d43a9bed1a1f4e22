"""Evil networks: silence, broken lines, interrupted calls, garbage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qcore.testing import NetworkContract
from qcore_ironmq.broker import IronMQBroker

if TYPE_CHECKING:
    from servers.ironmq import IronMQServer

Open = Callable[..., IronMQBroker]


class TestNetworks(NetworkContract):
    """Between the broker and the private server."""

    silence = "does not answer in time"

    @pytest.fixture
    def service_port(self, quick_server: IronMQServer | None) -> int:
        if quick_server is None:
            pytest.skip("the real service is not on this machine")
        return quick_server.port

    @pytest.fixture
    def make_broker(self, open_broker: Open, options: dict[str, object]) -> Open:
        return lambda port, *rest, **settings: open_broker(
            {**options, "port": port}, *rest, **settings
        )
