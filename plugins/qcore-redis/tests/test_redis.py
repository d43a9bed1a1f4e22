"""What is peculiar to Redis: groups, scripts, full memory, rights, keys."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
import redis

from qcore.envelope import Delivery
from qcore.errors import BrokerError, BrokerUnavailable, NoReply
from qcore.testing.speed import Patience
from qcore_redis.broker import RedisBroker
from qcore_redis.errors import PERMISSIONS
from qcore_redis.server import Server

if TYPE_CHECKING:
    from servers.redis import RedisServer

    from qcore.testing.proxy import FaultProxy

Open = Callable[..., RedisBroker]


def receive(broker: RedisBroker, count: int = 1) -> list[Delivery]:
    found: list[Delivery] = []
    deadline = Patience(10)
    while len(found) < count:
        assert not deadline.is_over(), f"{len(found)} of {count} came"
        found += broker.dequeue(count - len(found), wait=1)
    return found


# -- what administrators do ------------------------------------------------------


@pytest.mark.fault("D12")
def test_flushall(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    broker = open_broker({"port": own_redis_server.port})
    broker.enqueue_many([b"a", b"b"])
    held = receive(broker, 2)
    admin.flushall()
    receipts = [delivery.receipt for delivery in held]
    assert broker.extend(receipts) == set(receipts)
    broker.release(receipts)
    broker.release(receipts, delay=1)
    broker.acknowledge_many(receipts)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)
    assert broker.dequeue() == []
    admin.flushall()
    broker.enqueue(b"c")
    assert receive(broker)[0].package == b"c"


def test_purge_under_a_waiting_reader(
    redis_server: RedisServer, open_broker: Open
) -> None:
    setting = {"port": redis_server.port}
    reader = open_broker(setting)
    assert reader.dequeue() == []
    found: list[Delivery] = []
    thread = threading.Thread(target=lambda: found.extend(reader.dequeue(wait=10)))
    thread.start()
    with redis.Redis(port=redis_server.port) as client:
        while not client.info("clients")["blocked_clients"]:
            time.sleep(0.01)
    writer = open_broker(setting, reader.queue)
    writer.purge_queue()
    writer.enqueue(b"package")
    thread.join(60)
    assert [delivery.package for delivery in found] == [b"package"]


@pytest.mark.fault("D12")
def test_script_flush(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    broker = open_broker({"port": own_redis_server.port})
    broker.enqueue_many([b"a", b"b"])
    held = receive(broker, 2)
    admin.script_flush()
    assert broker.extend([held[0].receipt]) == set()
    admin.script_flush()
    assert (broker.queue_size(), broker.lock_size()) == (0, 2)


@pytest.mark.fault("D12")
def test_client_kill_between_calls(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    """A connection that the server has closed is seen before a package is sent on it."""
    broker = open_broker({"port": own_redis_server.port})
    for package in (b"a", b"b", b"c"):
        broker.enqueue(package)
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    found: list[bytes] = []
    while len(found) < 3:
        found += [delivery.package for delivery in broker.dequeue(1)]
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert found == [b"a", b"b", b"c"]


@pytest.mark.fault("D12")
def test_a_replica_takes_no_writes(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    broker = open_broker({"port": own_redis_server.port})
    broker.enqueue(b"a")
    (held,) = receive(broker)
    admin.replicaof("127.0.0.1", "1")
    for call in (
        lambda: broker.enqueue(b"b"),
        lambda: broker.enqueue_many([b"b", b"c"]),
        broker.dequeue,
        lambda: broker.acknowledge(held.receipt),
    ):
        with pytest.raises(BrokerUnavailable, match="replica"):
            call()
    admin.replicaof("NO", "ONE")
    broker.acknowledge(held.receipt)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)


@pytest.mark.fault("D9")
def test_full_memory_can_still_be_drained(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    """Enqueue is refused; claim, renew, release, finish and coming due work.

    No cluster has run before, so that even the group is made under full memory.
    """
    broker = open_broker({"port": own_redis_server.port})
    broker.enqueue(b"due", delay=0.01)
    broker.enqueue_many([b"a", b"b", b"c"])
    admin.config_set("maxmemory", "1")
    for call in (
        lambda: broker.enqueue(b"x"),
        lambda: broker.enqueue_many([b"x", b"y"]),
        lambda: broker.enqueue(b"x", delay=1),
    ):
        with pytest.raises(BrokerError, match="no memory left") as raised:
            call()
        assert not isinstance(raised.value, BrokerUnavailable)
    first, *rest = receive(broker, 4)
    assert broker.extend([first.receipt]) == set()
    broker.release([first.receipt])
    again = receive(broker)
    broker.release([again[0].receipt], delay=0.01)
    again = receive(broker)
    assert (again[0].package, again[0].attempt) == (first.package, 3)
    broker.acknowledge_many([delivery.receipt for delivery in (*rest, *again)])
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)


def test_a_batch_is_stored_whole_or_not_at_all(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    broker = open_broker({"port": own_redis_server.port})
    admin.config_set("maxmemory", "1")
    with pytest.raises(BrokerError):
        broker.enqueue_many([b"a", b"b"])
    admin.config_set("maxmemory", "0")
    assert broker.queue_size() == 0


@pytest.mark.fault("D10")
def test_eviction_is_warned_of(
    own_redis_server: RedisServer,
    admin: redis.Redis,
    open_broker: Open,
    caplog: pytest.LogCaptureFixture,
) -> None:
    admin.config_set("maxmemory", "100mb")
    caplog.set_level(logging.WARNING, "qcore.broker")
    open_broker({"port": own_redis_server.port}).dequeue()
    assert caplog.messages == []
    admin.config_set("maxmemory-policy", "allkeys-lru")
    open_broker({"port": own_redis_server.port}).dequeue()
    assert "maxmemory-policy allkeys-lru" in caplog.text
    assert "CONFIG SET maxmemory-policy noeviction" in caplog.text


# -- who may come in ---------------------------------------------------------------


@pytest.mark.fault("D13")
@pytest.mark.parametrize(
    "given", [{"password": "hush-hush"}, {}], ids=["wrong", "none"]
)
def test_the_password_is_refused(
    own_redis_server: RedisServer,
    admin: redis.Redis,
    open_broker: Open,
    given: dict[str, str],
) -> None:
    admin.config_set("requirepass", "the-right-one")
    broker = open_broker({"port": own_redis_server.port, **given})
    read = partial(broker._read, 1)  # has more words than Redis takes from a stranger
    for call in (broker.ping, read, broker.dequeue, lambda: broker.enqueue(b"x")):
        with pytest.raises(BrokerError, match="refuses the password") as raised:
            call()
        assert not isinstance(raised.value, BrokerUnavailable)
        assert "hush" not in f"{raised.value}{raised.value.__cause__}"


@pytest.mark.fault("D13")
def test_an_acl_that_lacks_a_command(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    rights = ["~*", "+@all", "-xreadgroup", "-info"]
    admin.execute_command("ACL", "SETUSER", "ann", "on", ">pw", *rights)
    broker = open_broker(f"redis://ann:pw@127.0.0.1:{own_redis_server.port}/0")
    broker.enqueue(b"package")
    with pytest.raises(BrokerError, match=r"needs: ACL SETUSER .*\+xreadgroup"):
        broker.dequeue()


def test_the_rights_that_are_asked_for_suffice(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    admin.execute_command("ACL", "SETUSER", "bob", "on", ">pw", *PERMISSIONS.split())
    setting = f"redis://bob:pw@127.0.0.1:{own_redis_server.port}/0"
    broker = open_broker(setting)
    ids = [broker.enqueue(b"a"), broker.enqueue(b"b", delay=60)]
    broker.enqueue_many([b"c"])
    (held,) = receive(broker)
    broker.extend([held.receipt])
    broker.release([held.receipt], delay=0.01)
    assert [broker.delete(id) for id in ids] == [True, True]
    broker.acknowledge_many([one.receipt for one in receive(broker)])
    broker.set_stat("key", b"value", ttl=5)
    assert broker.get_stats("k") == [b"value"]
    assert broker.info()
    assert broker.ping()
    broker.queue_size()
    broker.purge_queue()


# -- keys and versions -------------------------------------------------------------


@pytest.mark.parametrize("queue", ["a}b", "{a}", "with space", "näme", "%s*[x]"])
def test_the_keys_of_a_queue_share_a_slot(
    redis_server: RedisServer, open_broker: Open, queue: str
) -> None:
    broker = open_broker({"port": redis_server.port}, queue)
    slots = {redis.crc.key_slot(key.encode()) for key in broker._keys}
    assert len(slots) == 1
    broker.enqueue(b"package")
    receive(broker)
    broker.purge_queue()


def test_nothing_is_left_behind(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    """However many instances come and go, a worked-off queue is two small keys."""
    broker = open_broker({"port": own_redis_server.port})
    broker.enqueue(b"later", delay=0.01)
    for _ in range(5):
        one = open_broker({"port": own_redis_server.port}, broker.queue)
        one.enqueue(b"package")
        one.acknowledge_many([delivery.receipt for delivery in receive(one)])
    broker.acknowledge(receive(broker)[0].receipt)
    tag = f"{{qcore:{broker.queue}}}"
    assert set(admin.keys("*")) == {f"{tag}:tasks".encode(), f"{tag}:wake".encode()}
    assert admin.xlen(f"{tag}:tasks") == 0
    for stream in ("tasks", "wake"):
        assert len(admin.xinfo_consumers(f"{tag}:{stream}", "clusters")) == 1
    assert admin.xpending(f"{tag}:wake", "clusters")["pending"] == 0
    broker.delete_queue()
    assert admin.dbsize() == 0


def test_versions() -> None:
    old = Server.parse(b"# Server\r\nredis_version:5.0.14\r\n")
    with pytest.raises(BrokerError, match=r"Redis 5\.0\.14 is too old"):
        old.require_streams()
    valkey = Server.parse(b"redis_version:7.2.4\r\nvalkey_version:8.1.8\r\n")
    valkey.require_streams()
    assert str(valkey) == "Valkey 8.1.8"


def test_a_lease_without_end(redis_server: RedisServer, open_broker: Open) -> None:
    broker = open_broker({"port": redis_server.port}, retry=1e300)
    broker.enqueue(b"package")
    (held,) = receive(broker)
    assert broker.extend([held.receipt]) == set()
    assert broker.dequeue() == []


# -- entries that are not ours ----------------------------------------------------------


@pytest.mark.fault("D18")
@pytest.mark.parametrize(
    ("fields", "package", "attempt"),
    [
        ({"p": b"x", "n": b"abc"}, b"x", 1),
        ({"p": b"x", "n": b"-7"}, b"x", 1),
        ({"p": b"x", "n": b"9" * 5000}, b"x", 1),
        ({"p": b"x", "n": b"4"}, b"x", 5),
        ({"n": b"4", "p": b"x"}, b"x", 5),
        ({"task": b"mail", "to": b"ann"}, b"task\nmail\nto\nann", 1),
        ({"p": b""}, b"", 1),
    ],
)
def test_an_entry_that_somebody_added_by_hand(
    redis_server: RedisServer,
    open_broker: Open,
    fields: dict[str, bytes],
    package: bytes,
    attempt: int,
) -> None:
    """It is handed out as it is, by each of the ways in which entries are handed out."""
    broker = open_broker({"port": redis_server.port}, retry=60)
    broker.enqueue(b"ours")
    with redis.Redis(port=redis_server.port) as client:
        client.xadd(f"{{qcore:{broker.queue}}}:tasks", fields)
    ours, found = receive(broker, 2)
    assert (ours.package, found.package, found.attempt) == (b"ours", package, attempt)
    broker.release([found.receipt])
    found = receive(broker)[0]
    assert (found.package, found.attempt) == (package, attempt + 1)
    broker.release([found.receipt], delay=0.05)
    found = receive(broker)[0]
    assert (found.package, found.attempt) == (package, attempt + 2)
    broker.fail(found.receipt)
    broker.acknowledge(ours.receipt)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)


@pytest.mark.fault("D18")
@pytest.mark.parametrize("parked", [b"no colon", b"", b"abc:x", b"9" * 30 + b":x"])
def test_a_delayed_package_that_somebody_put_there_by_hand(
    redis_server: RedisServer, open_broker: Open, parked: bytes
) -> None:
    broker = open_broker({"port": redis_server.port})
    tag = f"{{qcore:{broker.queue}}}"
    with redis.Redis(port=redis_server.port) as client:
        client.hset(f"{tag}:parked", "by hand", parked)
        client.zadd(f"{tag}:due", {"by hand": 1, "without a package": 1})
    broker.enqueue(b"ours", delay=0.01)
    packages = {delivery.package for delivery in receive(broker, 2)}
    assert packages <= {b"ours", parked, b"x"}
    assert len(packages) == 2


@pytest.mark.fault("D18")
def test_a_claim_that_somebody_made_by_hand(
    redis_server: RedisServer, open_broker: Open
) -> None:
    """The name of its consumer is no lease; it stops nobody, and counts as claimed."""
    broker = open_broker({"port": redis_server.port}, retry=1)
    broker.enqueue_many([b"theirs", b"ours"])
    assert broker.dequeue() != []  # makes the group
    stream = f"{{qcore:{broker.queue}}}:tasks"
    with redis.Redis(port=redis_server.port) as client:
        for name in ("alice", "1e3", "-5", "9" * 40):
            broker.enqueue(b"theirs")
            client.xreadgroup("clusters", name, {stream: ">"}, count=1)
        broker.enqueue(b"last")
        assert broker.oldest_waiting() is not None
        assert broker.lock_size() >= 4
        came = receive(broker, 2)
        assert b"last" in {delivery.package for delivery in came}
        # a claim of ours that somebody takes over is lost
        held = came[-1].receipt
        client.xclaim(stream, "clusters", "bob", 0, [held[0]])
        assert broker.extend([held]) == {held}


# -- many packages in one call ----------------------------------------------------------


@pytest.mark.fault("D19")
def test_a_slow_server_is_waited_for_longer_where_much_is_sent(
    redis_server: RedisServer,
    open_broker: Open,
    fault_proxy: Callable[[int], FaultProxy],
) -> None:
    """The limit of a reply grows with what is sent; a small call is still given up."""
    proxy = fault_proxy(redis_server.port)
    setting = {"port": proxy.port, "socket_timeout": 0.5}
    broker = open_broker(setting, max_payload=8_000_000)
    broker.ping()
    proxy.fault("delay", 0.75)
    with pytest.raises(NoReply):
        broker.enqueue(b"small")
    proxy.fault("pass")
    broker.ping()
    # 1.5 s at most in front of the proxy and as much behind it, of 0.5 + 8
    proxy.fault("throttle", 5_000_000)
    assert broker.enqueue(b"x" * 7_500_000)
    assert broker.enqueue_many([b"x" * 3_500_000] * 2)


@pytest.mark.fault("D19")
def test_a_bulk_call_says_how_far_it_came(
    redis_server: RedisServer,
    open_broker: Open,
    fault_proxy: Callable[[int], FaultProxy],
) -> None:
    proxy = fault_proxy(redis_server.port)
    broker = open_broker({"port": proxy.port})
    broker.enqueue(b"makes scripts known")
    broker.enqueue_many([b"too"])
    broker.purge_queue()
    packages = [b"%05d" % n + bytes(200) for n in range(5000)]
    # of the fifth thousand at most a part has come through
    proxy.fault("cut", 4_600_000 // 5)
    with pytest.raises(NoReply) as raised:
        broker.enqueue_many(packages)
    proxy.fault("pass")
    error, size = raised.value, broker.queue_size()
    assert error.stored % 1000 == 0
    assert 0 < error.stored <= size <= error.stored + error.unsure
    assert error.unsure == 1000
    assert f"{error.stored:,} are stored" in str(error)


@pytest.mark.fault("D19")
def test_a_quarter_of_a_million_in_one_call(
    redis_server: RedisServer, open_broker: Open
) -> None:
    """It takes several times the limit of a reply, and no part of it does."""
    broker = open_broker({"port": redis_server.port})
    packages = [b"%06d" % n + bytes(100) for n in range(250_000)]
    assert len(set(broker.enqueue_many(packages))) == 250_000
    assert broker.queue_size() == 250_000
    assert [one.package for one in broker.dequeue(1000)] == packages[:1000]
    broker.delete_queue()
