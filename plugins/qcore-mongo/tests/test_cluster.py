"""A real cluster on MongoDB: its parts and the server die, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qcore.testing import ClusterContract

if TYPE_CHECKING:
    from servers.mongo import MongoServer


class TestCluster(ClusterContract):
    """On a server of each test's own."""

    lease = 2

    @pytest.fixture
    def q_cluster(self, own_mongo_server: MongoServer) -> dict[str, object]:
        return {"mongo": {"host": own_mongo_server.uri}}

    @pytest.fixture
    def restart_service(self, own_mongo_server: MongoServer) -> Callable[[bool], None]:
        return own_mongo_server.restart
