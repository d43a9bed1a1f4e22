"""Whether the MongoDB broker keeps what every broker promises, over the wire."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pymongo
import pytest
import shared_fixtures
from servers.base import free_port
from servers.mongo import MongoServer

from qcore.brokers.base import Broker
from qcore.conf import Conf
from qcore.testing import BrokerContract, PluginContract
from qcore_mongo.broker import MongoBroker

PASSWORD = "s3cret-of-mongo"
WAITING = {"package": b"x", "attempt": 0, "claim": None, "visible": 1, "due": 1}
#: What somebody may insert into the collection of a queue.
DOCUMENTS: dict[str, dict[str, Any]] = {
    "no fields": {},
    "no package": {"visible": 1, "due": 1, "attempt": 0, "claim": None, "task": "mail"},
    "a text": {**WAITING, "package": "text"},
    "a document": {**WAITING, "package": {"task": ["mail"]}},
    "no attempt": {"package": b"x", "visible": 1},
    "an attempt that is a text": {**WAITING, "attempt": "three"},
    "an attempt that is no number": {**WAITING, "attempt": float("nan")},
    "an attempt of many digits": {**WAITING, "attempt": 2**63 - 1},
    "visible at a date": {**WAITING, "visible": dt.datetime(2026, 1, 1)},
    "visible at a text": {**WAITING, "visible": "now", "due": "now"},
    "a name for its id": {**WAITING, "_id": "by hand"},
    "a document for its id": {**WAITING, "_id": {"order": 7}},
}
Make = Callable[..., Broker]


@pytest.fixture(scope="module")
def durable_server() -> Iterator[MongoServer]:
    """A server with users and passwords."""
    for server in shared_fixtures.run_server("mongo", MongoServer):
        with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
            roles = ["readWriteAnyDatabase"]
            client.admin.command("createUser", "ann", pwd=PASSWORD, roles=roles)
        server.options = ("--auth",)
        server.restart()
        yield server


class TestPlugin(PluginContract):
    """What holds for every plugin."""

    name = "mongo"
    drivers = ("pymongo", "bson")


class TestMongo(BrokerContract):
    """What holds for every broker."""

    secret = PASSWORD
    service = "SecantusDB 0.7.0b3, which speaks MongoDB's protocol"
    misspelt = ({"mongo": {"hots": "localhost"}}, "'hots' - did you mean 'host'")
    race = 120  # the server sorts all that match for each claim

    def options(self, port: int) -> dict[str, object]:
        """Return the setting ``mongo`` for a port."""
        return {
            "host": "127.0.0.1",
            "port": port,
            "username": "ann",
            "password": PASSWORD,
        }

    def test_the_same_instance_after_a_fork(self, connect: Make) -> None:
        """A child that uses its parent's broker gets a client of its own, unwarned."""
        parent = connect()
        parent.enqueue(b"parent")

        def send() -> str:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # the driver would warn of its threads
                id = parent.enqueue(b"child")
                parent.close()
                return id

        assert self.in_child(send)()
        packages = [one.package for one in self.receive(parent, 2)]
        assert packages == [b"parent", b"child"]

    @pytest.fixture
    def make_broker(self, durable_server: MongoServer) -> Make:
        def make(queue: str | None = None, **settings: object) -> Broker:
            options = {"mongo": self.options(durable_server.port), **settings}
            return MongoBroker(Conf.from_dict(options), queue)

        return make

    @pytest.fixture
    def malformed(
        self, durable_server: MongoServer
    ) -> Iterator[dict[str, Callable[[Broker], object]]]:
        def insert(document: dict[str, Any], broker: Broker) -> object:
            queue = client["django-q"][f"qcore.queue.{broker.queue}"]
            return queue.insert_one({**document})

        with pymongo.MongoClient[dict[str, Any]](
            **self.options(durable_server.port)
        ) as client:
            yield {name: partial(insert, one) for name, one in DOCUMENTS.items()}

    @pytest.fixture
    def dead_broker(self) -> Iterator[Broker]:
        options = {**self.options(free_port()), "serverSelectionTimeoutMS": 200}
        broker = MongoBroker(Conf.from_dict({"mongo": options}))
        yield broker
        broker.close()  # else the driver's threads look for a server for ever

    @pytest.fixture
    def restart_service(self, durable_server: MongoServer) -> Callable[[bool], None]:
        return durable_server.restart
