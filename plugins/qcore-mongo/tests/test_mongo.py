"""What is peculiar to MongoDB: claims in batches, clocks, indexes, names, limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import time_machine
from pymongo.monitoring import CommandListener

from qcore.errors import ConfigError, PayloadTooLarge
from qcore.testing.speed import TRIES, in_time
from qcore_mongo.broker import MAX_PACKAGE, MongoBroker
from qcore_mongo.clients import clients
from qcore_mongo.documents import ORDER, collection_name

if TYPE_CHECKING:
    from servers.mongo import MongoServer

Open = Callable[..., MongoBroker]
Client = pymongo.MongoClient[dict[str, Any]]


class Spy(CommandListener):
    """Counts the commands of a client, and acts after one of them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.after: dict[str, Callable[[], object]] = {}

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        self.seen.append(event.command_name)

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        if act := self.after.pop(event.command_name, None):
            act()

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        """It was counted when it began; that a queue is missing is such an error."""


@pytest.fixture
def setting(mongo_server: MongoServer) -> dict[str, Any]:
    return {"host": mongo_server.uri}


@pytest.fixture
def collection(admin: Client) -> Callable[[MongoBroker], Any]:
    return lambda broker: admin["django-q"][collection_name(broker.queue)]


# -- claims --------------------------------------------------------------------


@pytest.mark.parametrize("faster", [1, 3])
def test_two_claims_of_the_same_packages(
    setting: dict[str, Any], open_broker: Open, faster: int
) -> None:
    """Another cluster claims between our choice and our claim: each has its own."""
    spy = Spy()
    slow = open_broker({**setting, "event_listeners": [spy]})
    fast = open_broker(setting, slow.queue)
    slow.enqueue_many([b"a", b"b", b"c"])
    slow._keep_index()
    taken: list[bytes] = []

    def take() -> None:
        taken.extend(one.package for one in fast.dequeue(faster))

    spy.after["find"] = take
    left = [one.package for one in slow.dequeue(3)]
    assert taken == [b"a", b"b", b"c"][:faster]
    assert left == [b"a", b"b", b"c"][faster:]
    assert fast.lock_size() == 3


def test_a_batch_costs_three_round_trips(
    setting: dict[str, Any], open_broker: Open
) -> None:
    spy = Spy()
    broker = open_broker({**setting, "event_listeners": [spy]})
    broker.enqueue_many([b"%d" % n for n in range(50)])
    broker._keep_index()
    spy.seen.clear()
    assert len(broker.dequeue(50)) == 50
    assert spy.seen == ["find", "update", "find"]
    spy.seen.clear()
    assert broker.dequeue(50) == []
    assert spy.seen == ["find"], "an idle look is one cheap question"


def test_the_clock_of_a_client_has_no_say(
    setting: dict[str, Any], open_broker: Open
) -> None:
    broker = open_broker(setting, retry=3600)
    broker.enqueue(b"first")
    with time_machine.travel("2040-01-01", tick=True):
        broker.enqueue(b"second")
        held = broker.dequeue(2)
        assert [one.package for one in held] == [b"first", b"second"]
        assert broker.extend([one.receipt for one in held]) == set()
    with time_machine.travel("2001-01-01", tick=True):
        assert broker.dequeue(2) == []
        broker.enqueue(b"later", delay=3600)
        broker.enqueue(b"now")
        assert [one.package for one in broker.dequeue(2)] == [b"now"]
    assert (broker.queue_size(), broker.lock_size()) == (1, 3)


def test_a_released_package_keeps_its_place(
    setting: dict[str, Any], open_broker: Open
) -> None:
    broker = open_broker(setting)
    broker.enqueue_many([b"a", b"b", b"c"])
    (held,) = broker.dequeue()
    broker.release([held.receipt])
    (held,) = broker.dequeue()
    assert (held.package, held.attempt) == (b"a", 2)
    broker.release([held.receipt], delay=0.001)
    assert [broker.dequeue(wait=1)[0].package for _ in "abc"] == [b"b", b"c", b"a"]


def test_a_delayed_release_is_held_by_nobody(
    setting: dict[str, Any], open_broker: Open
) -> None:
    """The attempt is the same and the package hidden, but it is no claim."""
    broker = open_broker(setting)
    id = broker.enqueue(b"a")
    (held,) = broker.dequeue()
    assert broker.delete(id) is False, "it is claimed"
    broker.release([held.receipt], delay=60)
    assert broker.extend([held.receipt]) == {held.receipt}
    broker.release([held.receipt])
    assert broker.dequeue() == []
    assert (broker.queue_size(), broker.lock_size()) == (1, 0)
    assert broker.delete(id) is True


def test_an_expired_claim_waits(setting: dict[str, Any], open_broker: Open) -> None:
    broker = open_broker(setting, retry=0.05)
    id = broker.enqueue(b"a")
    (held,) = broker.dequeue()
    while time.monotonic() < held.lease_end + 0.05:
        time.sleep(0.01)
    assert (broker.queue_size(), broker.lock_size()) == (1, 0)
    assert broker.delete(id) is True


def test_a_lease_without_end(setting: dict[str, Any], open_broker: Open) -> None:
    broker = open_broker(setting, retry=1e300)
    broker.enqueue(b"a")
    (held,) = broker.dequeue()
    assert broker.extend([held.receipt]) == set()
    assert broker.dequeue() == []


@pytest.mark.parametrize("id", ["", "1", "x" * 24, "d2-000001", "0" * 24])
def test_deleting_what_is_no_id(
    setting: dict[str, Any], open_broker: Open, id: str
) -> None:
    assert open_broker(setting).delete(id) is False


# -- waiting -------------------------------------------------------------------


def test_waiting_polls_at_the_pace_of_poll(
    setting: dict[str, Any], open_broker: Open
) -> None:
    spy = Spy()
    for _ in range(TRIES):  # a busy machine may not come to look so often
        broker = open_broker({**setting, "event_listeners": [spy]}, poll=0.2)
        assert broker.dequeue() == []  # connects, and makes the index
        spy.seen.clear()
        started = time.monotonic()
        assert broker.dequeue(wait=1) == []
        assert time.monotonic() - started >= 1
        looks = spy.seen.count("findAndModify")
        assert looks <= 14, "pauses grow to 0.2 s within nine looks"
        if looks >= 4:
            break
    assert looks >= 4
    spy.seen.clear()
    assert broker.dequeue(wait=1) == []
    assert spy.seen.count("findAndModify") <= 7, "the pace is kept between two calls"


def test_waiting_ends_when_a_package_comes(
    setting: dict[str, Any], open_broker: Open
) -> None:
    reader = open_broker(setting)
    writer = open_broker(setting, reader.queue)
    assert reader.dequeue() == []
    timer = threading.Timer(0.3, writer.enqueue, [b"package"])
    timer.start()
    started = time.monotonic()
    (found,) = reader.dequeue(5, wait=30)
    assert found.package == b"package"
    assert in_time(time.monotonic() - started, 10)
    timer.join()


# -- indexes, names, limits ----------------------------------------------------


def test_the_index_is_made_once_by_many(
    setting: dict[str, Any], open_broker: Open, collection: Callable[..., Any]
) -> None:
    """By those who send and those who claim, whoever comes first."""
    first = open_broker(setting)
    brokers = [first, *(open_broker(setting, first.queue) for _ in range(3))]
    calls = [one.dequeue for one in brokers[:2]]
    calls += [partial(one.enqueue, b"package") for one in brokers[2:]]
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = [index["key"] for index in collection(first).index_information().values()]
    assert keys == [[("_id", 1)], ORDER]
    assert collection(first).count_documents({}) == 2


def test_an_index_of_the_administrator_is_taken(
    setting: dict[str, Any], open_broker: Open, collection: Callable[..., Any]
) -> None:
    broker = open_broker(setting)
    collection(broker).create_index(ORDER, name="theirs")
    assert broker.dequeue() == []
    assert set(collection(broker).index_information()) == {"_id_", "theirs"}


def test_a_queue_that_somebody_deletes_gets_its_index_again(
    setting: dict[str, Any],
    open_broker: Open,
    collection: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qcore_mongo.broker.INDEX_SECONDS", 0)
    broker = open_broker(setting)
    broker.dequeue()
    collection(broker).drop()
    assert broker.dequeue() == []
    assert len(collection(broker).index_information()) == 2


def test_a_queue_has_its_index_before_its_first_package(
    setting: dict[str, Any], open_broker: Open, collection: Callable[..., Any]
) -> None:
    spy = Spy()
    broker = open_broker({**setting, "event_listeners": [spy]})
    for _ in range(2):
        broker.enqueue(b"a")
        assert spy.seen[-3:] == ["listIndexes", "createIndexes", "update"]
        broker.delete_queue()
    broker.enqueue(b"a")
    spy.seen.clear()
    broker.enqueue(b"b")
    assert spy.seen == ["update"]


@pytest.mark.parametrize(
    "queue",
    ["a.b", ".a", "a..b.", "...", "$x", "%24x", "näme", "with space", "system.x", "\0"],
)
def test_names_of_queues(
    setting: dict[str, Any], open_broker: Open, queue: str
) -> None:
    broker = open_broker(setting, queue)
    broker.enqueue(b"a")
    assert [one.package for one in broker.dequeue(2)] == [b"a"]
    broker.delete_queue()


def test_similar_names_are_different_collections() -> None:
    names = ["a", "A", ".a", "%2Ea", "a.", "$a", "%24a", "a..b", "a.%2Eb", "a.b"]
    assert len({collection_name(name) for name in names}) == len(names)


def test_a_name_that_is_too_long(open_broker: Open) -> None:
    with pytest.raises(ConfigError, match=r"takes 255\. Shorten it"):
        open_broker({}, "é" * 125)


def test_collections_of_an_application_are_left_alone(
    setting: dict[str, Any], open_broker: Open, admin: Client
) -> None:
    admin["shop"]["orders"].insert_one({"_id": 1})
    broker = open_broker(setting, "orders", mongo_db="shop")
    broker.enqueue(b"a")
    broker.purge_queue()
    broker.delete_queue()
    assert admin["shop"].list_collection_names() == ["orders"]
    assert admin["shop"]["orders"].count_documents({}) == 1
    admin.drop_database("shop")


def test_the_limit_is_that_of_a_document(
    setting: dict[str, Any], open_broker: Open
) -> None:
    assert open_broker(setting, max_payload=1000).max_payload == 1000
    # its reply may take a busy machine longer than the 1.5 s of a web request
    patient = {**setting, "socketTimeoutMS": 20_000}
    broker = open_broker(patient, max_payload=64 * 1024 * 1024)
    assert broker.max_payload == MAX_PACKAGE < 16 * 1024 * 1024
    broker.enqueue(b"x" * MAX_PACKAGE)
    assert len(broker.dequeue()[0].package) == MAX_PACKAGE
    with pytest.raises(PayloadTooLarge, match="at most 16 MiB"):
        broker.enqueue(b"x" * (MAX_PACKAGE + 1))
    broker.delete_queue()


# -- status, clients -----------------------------------------------------------


def test_snapshots_expire_by_an_index(
    setting: dict[str, Any], open_broker: Open, admin: Client
) -> None:
    for broker in (open_broker(setting), open_broker(setting)):
        broker.set_stat("key", b"value", ttl=60)
        assert broker.get_stats("key") == [b"value"]
    index = admin["django-q"]["qcore.stats"].index_information()["until_1"]
    assert index["expireAfterSeconds"] == 0


def test_brokers_with_the_same_settings_share_a_client(
    setting: dict[str, Any], open_broker: Open
) -> None:
    first, second = open_broker(setting), open_broker(dict(setting))
    other = open_broker({**setting, "appname": "other"})
    client = first._connection._queues().client
    assert second._connection._queues().client is client
    assert other._connection._queues().client is not client
    first.close()
    first.close()
    assert second.ping(), "it is still in use"
    second.close()
    with pytest.raises(pymongo.errors.InvalidOperation):
        client.admin.command("ping")
    assert first.ping()
    assert first._connection._queues().client is not client


def test_no_client_is_left_behind(setting: dict[str, Any], open_broker: Open) -> None:
    before = len(clients._shared)
    broker = open_broker({**setting, "appname": "of this test"})
    broker.ping()
    assert len(clients._shared) == before + 1
    broker.close()
    assert len(clients._shared) == before


def test_info(setting: dict[str, Any], open_broker: Open) -> None:
    assert open_broker(setting).info().startswith("MongoDB 8.")
