"""What the tests of the MongoDB broker share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from qcore.testing.brokers import opened_brokers
from qcore_mongo.broker import MongoBroker

if TYPE_CHECKING:
    from servers.mongo import MongoServer

#: ``open_broker(setting, **settings)`` returns a broker on a new queue; ``setting`` is
#: the value of 'mongo', and ``queue`` names a queue that exists.
Open = Callable[..., MongoBroker]
Client = pymongo.MongoClient[dict[str, Any]]


@pytest.fixture
def open_broker() -> Iterator[Open]:
    """Open brokers and close them after the test."""
    with opened_brokers(MongoBroker) as open_broker:

        def open_one(
            setting: object = None, queue: str = "", **settings: object
        ) -> MongoBroker:
            given = {} if setting is None else {"mongo": setting}
            return open_broker({**given, **settings}, queue)

        yield open_one


@pytest.fixture
def admin(mongo_server: MongoServer) -> Iterator[Client]:
    """A client of the shared server, for what others do to it."""
    with pymongo.MongoClient(mongo_server.uri) as client:
        yield client
