"""Whether the SQS broker keeps what every broker promises, on two servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from servers.base import free_port
from servers.sqs import REGION, MinistackServer, MotoServer, SQSServer
from shared_fixtures import run_server

from qcore.brokers.base import Broker
from qcore.conf import Conf
from qcore.testing import BrokerContract, PluginContract
from qcore.testing.contracts.brokers.case import LONG
from qcore.testing.contracts.restarts import RestartService
from qcore_sqs.broker import SQSBroker

SECRET = "s3cret-of-the-contract"
Make = Callable[..., Broker]


@pytest.fixture(scope="module")
def restarted_moto() -> Iterator[MotoServer]:
    """A moto of this module's own, for the contract kills it."""
    yield from run_server("moto", MotoServer)


@pytest.fixture(scope="module")
def restarted_ministack() -> Iterator[MinistackServer]:
    """A ministack of this module's own, which keeps its queues over a kill."""
    yield from run_server("ministack", lambda: MinistackServer(durable=True))


class TestPlugin(PluginContract):
    """What holds for every plugin."""

    name = "sqs"
    drivers = ("boto3", "botocore")


class ServiceContract(BrokerContract):
    """What holds for every broker, asked of a service that speaks as SQS."""

    lease = 2  # SQS counts in whole seconds
    secret = SECRET
    misspelt = ({"sqs": {"aws_regoin": REGION}}, "'aws_regoin' - did you mean")
    race = 60

    def options(self, port: int) -> dict[str, object]:
        """Return the setting ``sqs`` for a port."""
        return {
            "aws_region": REGION,
            "aws_access_key_id": "AKIATESTS",
            "aws_secret_access_key": SECRET,
            "endpoint_url": f"http://127.0.0.1:{port}",
        }

    @pytest.fixture
    def make_broker(self, server: SQSServer) -> Make:
        def make(queue: str | None = None, **settings: object) -> Broker:
            conf = {"sqs": self.options(server.port), **settings}
            return SQSBroker(Conf.from_dict(conf), queue)

        return make

    @pytest.fixture
    def broker(self, connect: Make) -> Broker:
        """One broker, which has asked the queue for its limit."""
        broker = connect(retry=LONG)
        broker.dequeue()
        return broker

    @pytest.fixture
    def dead_broker(self) -> Broker:
        return SQSBroker(Conf.from_dict({"sqs": self.options(free_port())}))

    @pytest.fixture
    def malformed(self) -> dict[str, Callable[[SQSBroker], object]]:
        def send(body: str, broker: SQSBroker) -> object:
            url = broker._open().url
            return broker._brief.call("send_message", QueueUrl=url, MessageBody=body)

        bodies = {
            "no base64": "mail",
            "wrong padding": "AAA",
            "no ASCII": "\u2603",
            "JSON": '{"task": "mail"}',
        }
        return {name: partial(send, body) for name, body in bodies.items()}

    @pytest.fixture
    def restart_service(self, server: SQSServer) -> RestartService:
        return server.restart


class TestMoto(ServiceContract):
    """On moto, which is the more faithful one."""

    service = "moto 5.2.5, an emulator of SQS"

    @pytest.fixture
    def server(self, restarted_moto: MotoServer) -> SQSServer:
        return restarted_moto

    @pytest.fixture
    def restart_service(self, server: SQSServer) -> RestartService:
        return server.away  # it closes its connections after each reply

    def test_durable_survives_restart(self) -> None:
        pytest.skip("moto keeps its queues in memory")

    def test_acknowledgement_survives_restart(self) -> None:
        pytest.skip("moto keeps its queues in memory")

    def test_receipts_outlive_a_restart(self) -> None:
        pytest.skip("moto keeps its queues in memory")


@pytest.mark.slow  # a second opinion; a minute that a quick run does without
class TestMinistack(ServiceContract):
    """On ministack, which knows only the newest receipt of a message.

    It writes its queues down before it answers; the package alone does so at its end.
    """

    service = "ministack 1.5.33, an emulator of SQS"

    late_acknowledge = False

    @pytest.fixture
    def server(self, restarted_ministack: MinistackServer) -> SQSServer:
        return restarted_ministack
