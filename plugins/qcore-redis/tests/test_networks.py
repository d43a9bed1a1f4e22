"""Evil networks: silence, broken lines, interrupted calls, garbage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qcore.testing import NetworkContract
from qcore_redis.broker import RedisBroker

if TYPE_CHECKING:
    from servers.redis import RedisServer

Open = Callable[..., RedisBroker]


class TestNetworks(NetworkContract):
    """Between the broker and one Redis."""

    silence = "Timeout"

    @pytest.fixture
    def service_port(self, redis_server: RedisServer) -> int:
        return redis_server.port

    @pytest.fixture
    def make_broker(self, open_broker: Open) -> Open:
        return lambda port, *rest, **settings: open_broker(
            {"port": port}, *rest, **settings
        )
