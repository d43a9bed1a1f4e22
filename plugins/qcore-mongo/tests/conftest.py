"""What the tests of the MongoDB broker share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from qcore.conf import Conf
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
    opened: list[MongoBroker] = []

    def open_one(
        setting: object = None, queue: str = "", **settings: object
    ) -> MongoBroker:
        options = {**settings} if setting is None else {"mongo": setting, **settings}
        name = queue or f"mongo-{secrets.token_hex(6)}"
        opened.append(MongoBroker(Conf.from_dict(options), name))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def admin(mongo_server: MongoServer) -> Iterator[Client]:
    """A client of the shared server, for what others do to it."""
    with pymongo.MongoClient(mongo_server.uri) as client:
        yield client
