"""The contract on a MongoDB of your own, where ``QCORE_MONGO_URI`` names one."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from qcore.brokers.base import Broker
from qcore.conf import Conf
from qcore.testing import BrokerContract
from qcore_mongo.broker import MongoBroker

URI = os.environ.get("QCORE_MONGO_URI", "")
Make = Callable[..., Broker]


@pytest.mark.skipif(not URI, reason="QCORE_MONGO_URI names no server")
class TestOwnServer(BrokerContract):
    """Everything but what needs the server to be killed."""

    @pytest.fixture
    def make_broker(self) -> Make:
        def make(queue: str | None = None, **settings: object) -> Broker:
            options = {"mongo": {"host": URI}, "mongo_db": "qcore-tests", **settings}
            return MongoBroker(Conf.from_dict(options), queue)

        return make
