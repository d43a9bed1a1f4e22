"""What ``qcore doctor`` is told of a server: eviction, disk, memory, role, age."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qcore_redis.broker import RedisBroker

if TYPE_CHECKING:
    import redis
    from servers.redis import RedisServer

Open = Callable[..., RedisBroker]


def levels(broker: RedisBroker, word: str) -> list[str]:
    """Return the levels of the findings that have a word."""
    return [found.level for found in broker.diagnose() if word in found.fact]


@pytest.mark.fault("D10")
def test_a_policy_that_deletes_queues_is_an_error(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    broker = open_broker({"port": own_redis_server.port})
    assert levels(broker, "maxmemory-policy") == ["ok"]
    admin.config_set("maxmemory-policy", "allkeys-lru")
    assert levels(broker, "maxmemory-policy") == ["warning"]
    admin.config_set("maxmemory", "64mb")
    (found,) = [one for one in broker.diagnose() if one.level == "error"]
    assert "maxmemory-policy is allkeys-lru" in found.fact
    assert "CONFIG SET maxmemory-policy noeviction" in found.advice


def test_memory_that_is_nearly_full_is_told(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    broker = open_broker({"port": own_redis_server.port})
    assert levels(broker, "bytes of memory") == []
    admin.config_set("maxmemory", int(admin.info()["used_memory"] * 1.02))
    assert levels(broker, "bytes of memory") == ["warning"]


def test_a_server_that_forgets_is_told(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    broker = open_broker({"port": own_redis_server.port})
    assert levels(broker, "append-only file") == ["ok"]
    admin.config_set("appendonly", "no")
    assert levels(broker, "appendonly is off") == ["warning"]


def test_a_replica_is_an_error(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    admin.replicaof("127.0.0.1", 1)
    (found,) = [
        one
        for one in open_broker({"port": own_redis_server.port}).diagnose()
        if "replica" in one.fact
    ]
    assert found.level == "error"


def test_the_oldest_is_found_wherever_it_waits(
    redis_server: RedisServer, open_broker: Open
) -> None:
    """Sent, released, lost by its cluster, or due: each waits from that moment."""
    setting = {"port": redis_server.port}
    broker = open_broker(setting, retry=0.2)
    broker.enqueue(b"lost")
    asked = time.monotonic()
    (lost,) = broker.dequeue(wait=1)
    answered = time.monotonic()
    time.sleep(0.3)
    assert_waits(broker, asked + 0.2, answered + 0.2)
    broker.acknowledge(lost.receipt)
    asked = time.monotonic()
    broker.enqueue(b"due", delay=0.05)
    answered = time.monotonic()
    time.sleep(0.15)
    assert_waits(broker, asked + 0.05, answered + 0.05)
    broker.purge_queue()
    patient = open_broker(setting, retry=60)
    patient.enqueue(b"released")
    held = patient.dequeue(wait=1)
    assert patient.oldest_waiting() is None
    asked = time.monotonic()
    patient.release([held[0].receipt])
    answered = time.monotonic()
    time.sleep(0.05)
    assert_waits(patient, asked, answered)


def assert_waits(broker: RedisBroker, earliest: float, latest: float) -> None:
    """See that the oldest package has waited since a moment between these two."""
    before = time.monotonic()
    age = broker.oldest_waiting()
    after = time.monotonic()
    assert age is not None
    rounding = 0.01
    assert before - latest - rounding <= age <= after - earliest + rounding
