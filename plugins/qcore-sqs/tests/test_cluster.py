"""A real cluster on SQS: its parts die, and every task ends once."""

from __future__ import annotations

import pytest
from servers.sqs import REGION, MotoServer

from qcore.testing import ClusterContract

SECRET = "s3cret-of-the-cluster"


class TestCluster(ClusterContract):
    """On moto, which would forget its queues if it were killed."""

    lease = 2  # SQS counts in whole seconds
    secret = SECRET

    @pytest.fixture
    def q_cluster(self, moto_server: MotoServer) -> dict[str, object]:
        return {
            "sqs": {
                "aws_region": REGION,
                "aws_access_key_id": "AKIATESTS",
                "aws_secret_access_key": SECRET,
                "endpoint_url": moto_server.url,
            }
        }
