"""Whether the Disque broker keeps what every broker promises.

``QCORE_DISQUE_NODES`` puts real nodes in the place of the test server; what kills and
restarts a node is then skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis
from servers.base import free_port
from servers.disque import PASSWORD, DisqueServer

from qcore.brokers.base import Broker
from qcore.conf import Conf
from qcore.testing import BrokerContract, PluginContract
from qcore_disque.broker import DisqueBroker

REAL_NODES = os.environ.get("QCORE_DISQUE_NODES")
#: What somebody may add to a queue.
BODIES = {
    "an empty body": b"",
    "a mark without an end": b"\x00qcore-attempts:7",
    "a mark without a number": b"\x00qcore-attempts:abc\nx",
    "a mark of many digits": b"\x00qcore-attempts:" + b"9" * 5000 + b"\nx",
}
Make = Callable[..., Broker]


@pytest.fixture(scope="module")
def nodes(request: pytest.FixtureRequest) -> dict[str, object]:
    """The settings of the nodes under test."""
    if REAL_NODES:
        password = os.environ.get("QCORE_DISQUE_AUTH")
        return {"disque_nodes": REAL_NODES.split(","), "disque_auth": password}
    server: DisqueServer = request.getfixturevalue("durable_server")
    return {"disque_nodes": [server.address], "disque_auth": PASSWORD}


class TestPlugin(PluginContract):
    """What holds for every plugin."""

    name = "disque"
    drivers = ("redis",)


class TestDisque(BrokerContract):
    """What holds for every broker."""

    secret = PASSWORD
    service = None if REAL_NODES else "a server with Disque's protocol, of these tests"
    misspelt = ({"disque_nodes": ["127.0.0.1:port"]}, "'127.0.0.1:port' is not a node")

    @pytest.fixture
    def make_broker(self, nodes: dict[str, object]) -> Make:
        def make(queue: str | None = None, **settings: object) -> Broker:
            return DisqueBroker(Conf.from_dict({**nodes, **settings}), queue)

        return make

    @pytest.fixture
    def dead_broker(self) -> Broker:
        node = f"127.0.0.1:{free_port()}"
        options = {"disque_nodes": [node], "disque_auth": PASSWORD}
        return DisqueBroker(Conf.from_dict(options))

    @pytest.fixture
    def malformed(
        self, nodes: dict[str, object]
    ) -> Iterator[dict[str, Callable[[Broker], object]]]:
        host, _, port = str(nodes["disque_nodes"][0]).rpartition(":")  # type: ignore[index]
        with redis.Redis(
            host=host, port=int(port), password=nodes["disque_auth"], protocol=2
        ) as client:

            def add(body: bytes, broker: Broker) -> object:
                words = ("ADDJOB", broker.queue, body, 1000, "RETRY", 2)
                return client.execute_command(*words)

            yield {name: partial(add, body) for name, body in BODIES.items()}

    @pytest.fixture
    def restart_service(self, request: pytest.FixtureRequest) -> Callable[[bool], None]:
        if REAL_NODES:
            pytest.skip("real nodes are not restarted")
        server: DisqueServer = request.getfixturevalue("durable_server")
        return server.restart
