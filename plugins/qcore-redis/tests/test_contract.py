"""Whether the Redis broker keeps what every broker promises, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis
from servers.base import free_port
from servers.redis import RedisServer

from qcore.brokers.base import Broker
from qcore.conf import Conf
from qcore.testing import BrokerContract, PluginContract
from qcore_redis.broker import RedisBroker

PASSWORD = "s3cret-of-redis"
#: What somebody may add to the stream of a queue.
ENTRIES = {
    "no package": {"task": "mail"},
    "a count that is no number": {"p": "x", "n": "abc"},
    "a count of many digits": {"p": "x", "n": "9" * 5000},
    "an empty package": {"p": ""},
}
Make = Callable[..., Broker]


@pytest.fixture(scope="module")
def durable_server() -> Iterator[RedisServer]:
    """A server with a password that keeps its data over a restart."""
    server = RedisServer("--requirepass", PASSWORD, appendonly=True)
    server.start()
    yield server
    server.close()


class TestPlugin(PluginContract):
    """What holds for every plugin."""

    name = "redis"
    drivers = ("redis",)


class TestRedis(BrokerContract):
    """What holds for every broker."""

    secret = PASSWORD
    misspelt = ({"redis": {"hots": "localhost"}}, "'hots' - did you mean 'host'")

    def options(self, port: int) -> dict[str, object]:
        """Return the setting ``redis`` for a port."""
        return {"host": "127.0.0.1", "port": port, "password": PASSWORD}

    @pytest.fixture
    def make_broker(self, durable_server: RedisServer) -> Make:
        def make(queue: str | None = None, **settings: object) -> Broker:
            options = {"redis": self.options(durable_server.port), **settings}
            return RedisBroker(Conf.from_dict(options), queue)

        return make

    @pytest.fixture
    def dead_broker(self) -> Broker:
        return RedisBroker(Conf.from_dict({"redis": self.options(free_port())}))

    @pytest.fixture
    def malformed(
        self, durable_server: RedisServer
    ) -> Iterator[dict[str, Callable[[Broker], object]]]:
        def add(fields: dict[str, str], broker: Broker) -> object:
            return client.xadd(f"{{qcore:{broker.queue}}}:tasks", fields)

        def park(broker: Broker) -> None:
            tag = f"{{qcore:{broker.queue}}}"
            client.hset(f"{tag}:parked", "x", "no colon")
            client.zadd(f"{tag}:due", {"x": 1})

        with redis.Redis(port=durable_server.port, password=PASSWORD) as client:
            puts = {name: partial(add, fields) for name, fields in ENTRIES.items()}
            yield {**puts, "a delayed one": park}

    @pytest.fixture
    def restart_service(self, durable_server: RedisServer) -> Callable[[bool], None]:
        return durable_server.restart
