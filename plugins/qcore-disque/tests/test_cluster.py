"""A real cluster on Disque: its parts and the node die, and every task ends once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers.disque import PASSWORD, DisqueServer

from qcore.testing import ClusterContract


class TestCluster(ClusterContract):
    """On one node, which dies too."""

    lease = 2
    secret = PASSWORD

    @pytest.fixture
    def q_cluster(self, durable_server: DisqueServer) -> dict[str, object]:
        return {"disque_nodes": [durable_server.address], "disque_auth": PASSWORD}

    @pytest.fixture
    def restart_service(self, durable_server: DisqueServer) -> Callable[[bool], None]:
        return durable_server.restart
