"""Services that refuse, fail, fall silent, or come back as another."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
import shared_fixtures
from servers.mongo import MongoServer

from qcore.envelope import Delivery
from qcore.errors import BrokerError, BrokerUnavailable
from qcore.testing import NetworkContract
from qcore.testing.speed import Patience
from qcore_mongo.broker import MongoBroker

Open = Callable[..., MongoBroker]
Client = pymongo.MongoClient[dict[str, Any]]


def receive(broker: MongoBroker, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    deadline = Patience(20)
    while len(found) < count:
        assert not deadline.is_over(), f"{len(found)} of {count} came"
        found += broker.dequeue(count - len(found), wait=1)
    return found


# -- commands that fail --------------------------------------------------------


@pytest.fixture(scope="module")
def failing_server() -> Iterator[MongoServer]:
    """A server that fails commands when it is told to."""
    make = lambda: MongoServer("--enable-test-commands")  # noqa: E731
    yield from shared_fixtures.run_server("mongo", make)


@pytest.fixture
def fail(failing_server: MongoServer) -> Iterator[Callable[..., None]]:
    """``fail("update", times=2, errorCode=91)`` fails the next two updates so."""
    with pymongo.MongoClient[dict[str, Any]](failing_server.uri) as client:

        def fail(command: str, times: int = 1, **data: object) -> None:
            point = {"failCommands": [command], **data}
            client.admin.command(
                {"configureFailPoint": "failCommand"},
                mode={"times": times},
                data=point,
            )

        yield fail
        client.admin.command({"configureFailPoint": "failCommand"}, mode="off")


@pytest.fixture
def broker(failing_server: MongoServer, open_broker: Open) -> MongoBroker:
    one = open_broker({"host": failing_server.uri})
    one.enqueue_many([b"a", b"b", b"c"])
    one._keep_index()
    return one


def test_a_connection_that_breaks_once_costs_nothing(
    broker: MongoBroker, fail: Callable[..., None]
) -> None:
    """Writes of many documents too, which the driver does not repeat."""
    fail("find", closeConnection=True)
    fail("update", closeConnection=True)
    held = broker.dequeue(2)
    assert [one.package for one in held] == [b"a", b"b"]
    receipts = [one.receipt for one in held]
    fail("update", closeConnection=True)
    assert broker.extend(receipts) == set()
    fail("update", closeConnection=True)
    broker.release(receipts)
    held = receive(broker, 3)
    assert [one.attempt for one in held] == [2, 2, 1]
    fail("delete", closeConnection=True)
    broker.acknowledge_many([one.receipt for one in held])
    fail("update", closeConnection=True)
    broker.enqueue(b"d")
    assert [one.package for one in broker.dequeue(9)] == [b"d"]


@pytest.mark.parametrize("code", [91, 10107, 11600])
def test_a_server_that_is_not_primary_is_unavailable(
    broker: MongoBroker, fail: Callable[..., None], code: int
) -> None:
    fail("update", times=20, errorCode=code)
    with pytest.raises(BrokerUnavailable, match="MongoDB at"):
        broker.enqueue(b"x")
    with pytest.raises(BrokerUnavailable, match="MongoDB at"):
        broker.dequeue(3)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (13, r"grantRolesToUser\('<user>', \[{role: 'readWrite', db: 'django-q'}\]\)"),
        (18, "refuses the user or the password"),
        (14031, "no room left"),
        (9, r"must be MongoDB 4\.2 or later"),
    ],
)
def test_what_will_not_go_away_says_what_to_do(
    broker: MongoBroker, fail: Callable[..., None], code: int, told: str
) -> None:
    package = b"what-nobody-should-read"
    fail("update", errorCode=code)
    with pytest.raises(BrokerError, match=told) as raised:
        broker.enqueue(package)
    assert not isinstance(raised.value, BrokerUnavailable)
    assert package.decode() not in f"{raised.value!r}{raised.value.__cause__!r}"
    assert broker.queue_size() == 3


def test_a_write_whose_majority_does_not_answer_is_unavailable(
    broker: MongoBroker, fail: Callable[..., None]
) -> None:
    error = {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting"}
    fail("update", times=2, writeConcernError=error)
    with pytest.raises(BrokerUnavailable, match="waiting"):
        broker.enqueue(b"x")


# -- who may come in -----------------------------------------------------------


@pytest.fixture(scope="module")
def strict_server() -> Iterator[MongoServer]:
    """A server with two users: one may read and write everything, one nothing."""
    for server in shared_fixtures.run_server("mongo", MongoServer):
        with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
            for user, roles in (("ann", ["readWriteAnyDatabase"]), ("bob", [])):
                client.admin.command("createUser", user, pwd="hush-hush", roles=roles)
        server.options = ("--auth",)
        server.restart()
        yield server


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "Set 'username' and 'password'"),
        ({"username": "ann", "password": "hush-wrong"}, "refuses the user"),
        ({"username": "eve", "password": "hush-hush"}, "refuses the user"),
    ],
    ids=["nobody", "wrong password", "stranger"],
)
def test_strangers_are_told_what_to_set(
    strict_server: MongoServer, open_broker: Open, given: dict[str, str], told: str
) -> None:
    broker = open_broker({"host": strict_server.uri, **given})
    for call in (broker.queue_size, broker.dequeue, lambda: broker.enqueue(b"x")):
        with pytest.raises(BrokerError, match=told) as raised:
            call()
        assert not isinstance(raised.value, BrokerUnavailable)
        assert "hush" not in f"{raised.value}{raised.value.__cause__}"
    if given:
        with pytest.raises(BrokerError, match=told):
            broker.info()


def test_the_password_may_stand_in_the_uri(
    strict_server: MongoServer, open_broker: Open
) -> None:
    place = f"127.0.0.1:{strict_server.port}"
    broker = open_broker({"host": f"mongodb://ann:hush-hush@{place}/?authSource=admin"})
    broker.enqueue(b"a")
    assert broker.dequeue()[0].package == b"a"
    strict_server.kill()
    try:
        with pytest.raises(BrokerUnavailable, match=f"mongodb://{place}") as raised:
            broker.ping()
        assert "hush" not in f"{raised.value}{raised.value.__cause__}"
    finally:
        strict_server.start()


# -- networks ------------------------------------------------------------------


class TestNetworks(NetworkContract):
    """Between the broker and one server."""

    silence = "cannot be reached"
    garbage = 8  # the number of the request that it answers
    garbled = "queue_size"  # the driver repeats a write

    @pytest.fixture
    def service_port(self, mongo_server: MongoServer) -> int:
        return mongo_server.port

    @pytest.fixture
    def make_broker(self, open_broker: Open) -> Open:
        # the driver's own questions must not be the ones that get the wrong byte
        quiet = {"serverMonitoringMode": "poll", "heartbeatFrequencyMS": 60_000}
        own = {"directConnection": True, **quiet}
        return lambda port, queue, **settings: open_broker(
            {"port": port, **own}, queue, **settings
        )


# -- servers that come back ----------------------------------------------------


def test_a_server_that_comes_back_empty(
    own_mongo_server: MongoServer, open_broker: Open
) -> None:
    """Another node under the same address: nothing of the past disturbs it."""
    broker = open_broker({"host": own_mongo_server.uri})
    broker.enqueue_many([b"a", b"b"])
    held = receive(broker, 2)
    own_mongo_server.kill()
    shutil.rmtree(own_mongo_server.folder / "data")
    own_mongo_server.start()
    receipts = [one.receipt for one in held]
    assert broker.extend(receipts) == set(receipts)
    broker.release(receipts)
    broker.acknowledge_many(receipts)
    assert broker.dequeue(5) == []
    broker.enqueue(b"c")
    assert [one.package for one in receive(broker, 1)] == [b"c"]


@pytest.mark.live
def test_a_server_that_is_no_replica_set(open_broker: Open) -> None:
    """It has no retryable writes, and the driver asks for none."""
    make = lambda: MongoServer("--standalone")  # noqa: E731
    for server in shared_fixtures.run_server("mongo", make):
        broker = open_broker({"host": server.uri})
        broker.enqueue_many([b"a", b"b"])
        held = receive(broker, 2)
        server.kill()
        server.start()
        broker.acknowledge_many([one.receipt for one in held])
        assert (broker.queue_size(), broker.lock_size()) == (0, 0)
