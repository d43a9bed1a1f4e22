"""A real cluster on Redis: its parts and the server die, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from servers.redis import RedisServer
from shared_fixtures import run_server

from qcore.testing import ClusterContract

PASSWORD = "s3cret-of-redis"


@pytest.fixture(scope="module")
def durable_server() -> Iterator[RedisServer]:
    """A server with a password that keeps its data over a restart."""

    def make() -> RedisServer:
        return RedisServer("--requirepass", PASSWORD, appendonly=True)

    yield from run_server("redis", make)


class TestCluster(ClusterContract):
    """On one server, which dies too."""

    lease = 2
    secret = PASSWORD

    @pytest.fixture
    def q_cluster(self, durable_server: RedisServer) -> dict[str, object]:
        place = {"host": "127.0.0.1", "port": durable_server.port}
        return {"redis": {**place, "password": PASSWORD}}

    @pytest.fixture
    def restart_service(self, durable_server: RedisServer) -> Callable[[bool], None]:
        return durable_server.restart
