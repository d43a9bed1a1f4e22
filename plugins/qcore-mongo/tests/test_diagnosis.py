"""What ``qcore doctor`` is told of a server: role, copies, index, age, clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from qcore_mongo.broker import MongoBroker
from qcore_mongo.diagnosis import Facts, diagnose
from qcore_mongo.documents import collection_name

if TYPE_CHECKING:
    from servers.mongo import MongoServer

Open = Callable[..., MongoBroker]
Client = pymongo.MongoClient[dict[str, Any]]

SOUND = Facts(
    address="h1:27017",
    hello={"isWritablePrimary": True, "setName": "rs0"},
    version="8.2.11",
    concern={"j": True},
    made=True,
    indexed=True,
)


def test_a_sound_server() -> None:
    assert [found.level for found in diagnose(SOUND)] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("change", "level", "fact"),
    [
        ({"hello": {"isWritablePrimary": False}}, "error", "is not the primary"),
        ({"concern": {"j": False}}, "warning", "journal is off"),
        ({"concern": {"w": 1}}, "warning", "failover may lose"),
        ({"version": "4.4.29"}, "warning", "failover may lose"),
        ({"version": "4.4.29"}, "warning", "reads an index entry"),
        ({"indexed": False}, "warning", "has no index"),
    ],
)
def test_what_is_wrong_is_told(change: dict[str, Any], level: str, fact: str) -> None:
    (found,) = [one for one in diagnose(replace(SOUND, **change)) if fact in one.fact]
    assert found.level == level
    assert found.advice


def test_a_queue_that_nobody_has_used_needs_no_index() -> None:
    fresh = replace(SOUND, made=False, indexed=False, version="")
    assert [found.level for found in diagnose(fresh)] == ["ok"]


def test_on_a_server(
    mongo_server: MongoServer, open_broker: Open, admin: Client
) -> None:
    broker = open_broker({"host": mongo_server.uri, "journal": False})
    queue = admin["django-q"][collection_name(broker.queue)]
    queue.insert_one({})
    facts = [found.fact.partition(":")[0] for found in broker.diagnose()]
    assert facts == [
        "journal is off",
        "writes wait for the replica set (w",
        "the queue has no index on (visible, _id)",
    ]
    queue.delete_many({})
    broker.dequeue()
    assert broker.diagnose()[-1].fact == "the queue has its index"


def test_the_oldest_is_found_wherever_it_waits(
    mongo_server: MongoServer, open_broker: Open
) -> None:
    """Sent, lost by its cluster, or due: each waits from that moment."""
    broker = open_broker({"host": mongo_server.uri}, retry=0.2)
    began = time.monotonic()
    broker.enqueue(b"lost")
    (lost,) = broker.dequeue(wait=1)
    time.sleep(0.3)
    assert 0.05 <= (broker.oldest_waiting() or 0) < time.monotonic() - began
    broker.acknowledge(lost.receipt)
    began = time.monotonic()
    broker.enqueue(b"due", delay=0.05)
    time.sleep(0.15)
    assert 0.05 <= (broker.oldest_waiting() or 0) < time.monotonic() - began


def test_the_clock_is_that_of_the_server(
    mongo_server: MongoServer, open_broker: Open
) -> None:
    """Of the same host here, so that both agree, in the zone of nobody."""
    clock = open_broker({"host": mongo_server.uri}).clock()
    assert clock == pytest.approx(time.time(), abs=5)
