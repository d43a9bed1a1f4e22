"""The contract on a MongoDB of your own, where ``QCORE_MONGO_URI`` names one."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from qcore.brokers.base import Broker
from qcore.conf import Conf
from qcore.testing import BrokerContract
from qcore_mongo.broker import MongoBroker

Make = Callable[..., Broker]

URI = os.environ.get("QCORE_MONGO_URI", "")
if not URI:
    # once for the module, and not once for each promise
    pytest.skip("QCORE_MONGO_URI names no server", allow_module_level=True)


class TestOwnServer(BrokerContract):
    """Everything but what needs the server to be killed."""

    @pytest.fixture
    def make_broker(self) -> Make:
        def make(queue: str | None = None, **settings: object) -> Broker:
            options = {"mongo": {"host": URI}, "mongo_db": "qcore-tests", **settings}
            return MongoBroker(Conf.from_dict(options), queue)

        return make
