"""A real cluster on SQS: its parts die, and every task ends once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers.sqs import REGION, MinistackServer

from qcore.testing import ClusterContract

SECRET = "s3cret-of-the-cluster"


class TestCluster(ClusterContract):
    """On moto; where the service is killed, on ministack, which can keep its queues."""

    lease = 2  # SQS counts in whole seconds
    secret = SECRET

    @pytest.fixture
    def q_cluster(self, request: pytest.FixtureRequest) -> dict[str, object]:
        killed = "restart_service" in request.fixturenames
        name = "durable_ministack_server" if killed else "moto_server"
        return {
            "sqs": {
                "aws_region": REGION,
                "aws_access_key_id": "AKIATESTS",
                "aws_secret_access_key": SECRET,
                "endpoint_url": request.getfixturevalue(name).url,
            }
        }

    @pytest.fixture
    def restart_service(
        self, durable_ministack_server: MinistackServer
    ) -> Callable[[bool], None]:
        return durable_ministack_server.restart
