"""A real cluster on Disque: its parts and the node die, and every task ends once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from servers.disque import DisqueServer

from qcore.testing import ClusterContract

PASSWORD = "s3cret-of-disque"


@pytest.fixture(scope="module")
def node() -> Iterator[DisqueServer]:
    """A node with a password that keeps its jobs over a restart."""
    server = DisqueServer("--requirepass", PASSWORD, appendonly=True)
    server.start()
    yield server
    server.close()


class TestCluster(ClusterContract):
    """On one node, which dies too."""

    lease = 2
    secret = PASSWORD

    @pytest.fixture
    def q_cluster(self, node: DisqueServer) -> dict[str, object]:
        return {"disque_nodes": [node.address], "disque_auth": PASSWORD}

    @pytest.fixture
    def restart_service(self, node: DisqueServer) -> Callable[[bool], None]:
        return node.restart
