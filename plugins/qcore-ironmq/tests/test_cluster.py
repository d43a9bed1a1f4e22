"""A real cluster on IronMQ's protocol: its parts and the service die, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from servers.ironmq import TOKEN, IronMQServer
from servers.ironmq_quick import PACE
from shared_fixtures import run_server

from qcore.testing import ClusterContract, LiveCluster
from qcore_ironmq.client import Client, Service


@pytest.fixture(scope="module")
def server() -> Iterator[IronMQServer]:
    """A server whose clock is quick, though the others of a run are the real one."""
    yield from run_server("ironmq", lambda: IronMQServer(PACE))


class TestCluster(ClusterContract):
    """On a server of this module's own."""

    secret = TOKEN

    @pytest.fixture
    def q_cluster(self, server: IronMQServer) -> dict[str, object]:
        return {
            "broker_class": "servers.ironmq_quick.QuickBroker",
            "iron_mq": server.options,
        }

    @pytest.fixture
    def restart_service(self, server: IronMQServer) -> Callable[[bool], None]:
        return server.restart

    def wait_empty(self, cluster: LiveCluster) -> None:
        """Ask the service, whose number has the claimed messages in it."""
        client = Client(cluster.conf.options["iron_mq"])
        client.reply_seconds = 10
        queue = Service(client).queue(cluster.conf.queue)
        cluster.wait_for(lambda: queue.size() == 0, 30, "the queue is empty")
        client.close()
