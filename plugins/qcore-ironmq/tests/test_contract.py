"""Whether the IronMQ broker keeps what every broker promises, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from servers.base import free_port
from servers.ironmq import IronMQServer, real_options

from qcore.brokers.base import Broker
from qcore.conf import Conf
from qcore.testing import BrokerContract, PluginContract
from qcore_ironmq.broker import IronMQBroker

Make = Callable[..., Broker]
REAL = real_options()
TOKEN = "s3cret-of-ironmq"


class TestPlugin(PluginContract):
    """What holds for every plugin."""

    name = "ironmq"
    drivers = ("iron_mq", "iron_core", "requests")


class TestIronMQ(BrokerContract):
    """What holds for every broker."""

    # 30 seconds of the service, the shortest that it takes
    lease = 30.0 if REAL else 1.5
    late_acknowledge = False
    service = None if REAL else "a server with IronMQ's API v3, of these tests"
    secret = str(REAL["token"]) if REAL else TOKEN
    misspelt = ({"iron_mq": {"tokn": "t"}}, "'tokn' - did you mean 'token'")

    @pytest.fixture
    def make_broker(
        self, options: dict[str, object], broker_class: type[IronMQBroker]
    ) -> Make:
        def make(queue: str | None = None, **settings: object) -> Broker:
            return broker_class(Conf.from_dict({"iron_mq": options, **settings}), queue)

        return make

    @pytest.fixture
    def dead_broker(self, options: dict[str, object]) -> Broker:
        nobody = {**options, "host": "127.0.0.1", "port": free_port()}
        return IronMQBroker(Conf.from_dict({"iron_mq": nobody}))

    @pytest.fixture
    def malformed(self) -> dict[str, Callable[[IronMQBroker], object]]:
        def post(body: str, broker: IronMQBroker) -> object:
            broker.enqueue(b"made first")  # a queue that keeps what it has
            return broker._connection.call(lambda queue: queue.post(body), 5.0)

        bodies = {
            "no base64": "mail",
            "wrong padding": "AAA",
            "no ASCII": "\u2603",
            "JSON": '{"task": "mail"}',
        }
        return {name: partial(post, body) for name, body in bodies.items()}

    @pytest.fixture
    def restart_service(
        self, quick_server: IronMQServer | None
    ) -> Callable[[bool], None]:
        if quick_server is None:
            pytest.skip("the real service cannot be restarted")
        return quick_server.restart
