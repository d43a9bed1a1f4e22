"""A cluster that waits is woken for what comes without an entry of the stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis

from qcore.envelope import Delivery
from qcore.testing.speed import TRIES, Patience
from qcore_redis import broker as module
from qcore_redis import scripts
from qcore_redis.broker import RedisBroker

if TYPE_CHECKING:
    from servers.redis import RedisServer

Open = Callable[..., RedisBroker]


class Reader:
    """A reader that waits in a thread of its own, and has swept just now."""

    def __init__(self, server: RedisServer, broker: RedisBroker) -> None:
        self.broker = broker
        self.found: list[Delivery] = []
        assert broker.dequeue() == []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        with redis.Redis(port=server.port) as client:
            while not client.info("clients")["blocked_clients"]:
                time.sleep(0.01)

    def _read(self) -> None:
        deadline = Patience(20)
        while not self.found and not deadline.is_over():
            self.found += self.broker.dequeue(wait=5)

    def packages(self) -> list[bytes]:
        """Return what it has got, waiting for it."""
        self._thread.join(60)
        return [delivery.package for delivery in self.found]


@pytest.fixture
def never_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a reader with nothing but being woken."""
    monkeypatch.setattr(module, "SWEEP_SECONDS", 3600.0)
    monkeypatch.setattr(module, "IDLE_SWEEP_SECONDS", 3600.0)


@pytest.fixture
def pair(
    own_redis_server: RedisServer, open_broker: Open, never_sweep: None
) -> tuple[RedisBroker, RedisBroker]:
    """Two brokers of one queue that may block for longer than any test takes."""
    setting = {"port": own_redis_server.port, "socket_timeout": 60}
    one = open_broker(setting)
    return one, open_broker(setting, one.queue)


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("delay", [0, 0.05], ids=["at once", "later"])
def test_what_is_given_back_wakes_a_reader(
    own_redis_server: RedisServer, pair: tuple[RedisBroker, RedisBroker], delay: float
) -> None:
    one, other = pair
    one.enqueue(b"package")
    (held,) = one.dequeue(wait=5)
    reader = Reader(own_redis_server, other)
    one.release([held.receipt], delay=delay)
    assert reader.packages() == [b"package"]
    assert reader.found[0].attempt == 2


def test_what_is_due_sooner_than_all_others_wakes_a_reader(
    own_redis_server: RedisServer, pair: tuple[RedisBroker, RedisBroker]
) -> None:
    one, other = pair
    one.enqueue(b"tomorrow", delay=86_400)
    reader = Reader(own_redis_server, other)
    one.enqueue(b"soon", delay=0.05)
    assert reader.packages() == [b"soon"]


def test_what_is_due_later_wakes_nobody(
    admin: redis.Redis, pair: tuple[RedisBroker, RedisBroker]
) -> None:
    one, _ = pair
    one.enqueue(b"soon", delay=3600)
    (last,) = admin.xrevrange(one._wake, count=1)
    one.enqueue(b"tomorrow", delay=86_400)
    assert admin.xrevrange(one._wake, count=1) == [last]


def test_wakes_do_not_pile_up_or_count(
    admin: redis.Redis, pair: tuple[RedisBroker, RedisBroker]
) -> None:
    """Neither where no cluster runs, nor where those that were woken have died."""
    one, other = pair
    for delay in range(3600, 3500, -1):
        one.enqueue(b"package", delay=delay)
    assert admin.xlen(one._wake) == 1
    assert (one.queue_size(), one.lock_size()) == (100, 0)
    assert one.oldest_waiting() is None
    one.dequeue()
    for name in ("dead", "gone"):
        admin.xadd(one._wake, {"w": ""}, maxlen=1, approximate=False)
        admin.xreadgroup("clusters", name, {one._wake: ">"})
    assert other.dequeue() == []
    assert admin.xpending(one._wake, "clusters")["pending"] == 0
    assert admin.xlen(one._wake) == 1
    one.delete_queue()
    assert admin.dbsize() == 0


def test_a_reader_whose_wake_was_lost_sweeps_all_the_same(
    own_redis_server: RedisServer, admin: redis.Redis, open_broker: Open
) -> None:
    """Somebody read it and died; or it came from a release that knew none of it."""
    setting = {"port": own_redis_server.port}
    reader = Reader(own_redis_server, open_broker(setting))
    queue = reader.broker.queue
    due, parked = reader.broker._keys[1:3]
    admin.hset(parked, "d1", b"0:package")
    admin.zadd(due, {"d1": 1})
    assert reader.packages() == [b"package"]
    assert open_broker(setting, queue).lock_size() == 1


def test_a_queue_of_an_older_release_gets_what_it_lacks(
    admin: redis.Redis, own_redis_server: RedisServer, open_broker: Open
) -> None:
    broker = open_broker({"port": own_redis_server.port})
    admin.xgroup_create(broker._stream, "clusters", "0", mkstream=True)
    broker.enqueue(b"package")
    (held,) = broker.dequeue()
    broker.release([held.receipt])
    assert [delivery.package for delivery in broker.dequeue()] == [b"package"]


# -- what an idle cluster asks ------------------------------------------------------


class Counted:
    """The scripts and the commands that a broker sends."""

    def __init__(self, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sweeps = self.reads = 0
        patient = broker._patient
        run, call_first = patient.run, patient.call_first

        def counted_run(*given: Any) -> Any:
            self.sweeps += given[0] is scripts.SWEEP
            return run(*given)

        def counted_call(*commands: Any) -> Any:
            self.reads += 1
            return call_first(*commands)

        monkeypatch.setattr(patient, "run", counted_run)
        monkeypatch.setattr(patient, "call_first", counted_call)


@pytest.fixture
def hurried(
    own_redis_server: RedisServer, open_broker: Open, monkeypatch: pytest.MonkeyPatch
) -> RedisBroker:
    """A broker that sweeps twenty times a second when it is idle."""
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(module, "IDLE_SWEEP_SECONDS", 0.05)
    return open_broker({"port": own_redis_server.port})


@pytest.mark.parametrize("parked", [False, True], ids=["empty", "something for later"])
def test_an_idle_cluster_sweeps_no_more(
    hurried: RedisBroker, monkeypatch: pytest.MonkeyPatch, parked: bool
) -> None:
    """It sees with each read that nothing has changed."""
    if parked:
        hurried.enqueue(b"tomorrow", delay=86_400)
    hurried.dequeue(wait=0.2)
    counted = Counted(hurried, monkeypatch)
    for _ in range(6):  # a machine that sleeps for 0.05 s makes a sweep due
        counted.sweeps = counted.reads = 0
        hurried.dequeue(wait=0.5)
        if counted.sweeps == 0:
            break
    assert counted.sweeps == 0
    assert counted.reads >= 1


def test_a_wait_of_an_idle_cluster_is_one_read(
    open_broker: Open, own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not another one for the part of a millisecond that BLOCK cannot say."""
    broker = open_broker({"port": own_redis_server.port})
    broker.dequeue(wait=0.1)
    counted = Counted(broker, monkeypatch)
    broker._sweep_at = time.monotonic() + 60
    for _ in range(5):
        broker.dequeue(wait=0.0207)
    assert counted.reads == 5


def test_a_cluster_sweeps_while_there_are_claims(
    hurried: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried.dequeue(wait=0.2)
    hurried.enqueue(b"package")
    hurried.dequeue(wait=5)
    counted = Counted(hurried, monkeypatch)
    for _ in range(TRIES):  # a busy machine may sleep over some of them
        counted.sweeps = 0
        hurried.dequeue(wait=0.5)
        if counted.sweeps >= 2:
            break
    assert counted.sweeps >= 2


def test_a_cluster_that_was_not_woken_sees_what_is_due_first(
    hurried: RedisBroker, open_broker: Open, admin: redis.Redis
) -> None:
    """Another one was, and may have no room by then."""
    hurried.dequeue(wait=0.2)
    due, parked = hurried._keys[1:3]
    seconds, _ = admin.time()
    admin.hset(parked, "d1", b"0:package")
    admin.zadd(due, {"d1": (seconds + 2) * 1000})
    found = hurried.dequeue(wait=20)
    assert [delivery.package for delivery in found] == [b"package"]


def test_what_a_read_brings_is_kept_when_the_look_fails(
    hurried: RedisBroker, admin: redis.Redis
) -> None:
    for _ in range(20):  # a machine that sleeps for 0.05 s makes a sweep due
        hurried.dequeue(wait=0.2)
        if hurried._quiet:
            break
    assert hurried._quiet
    admin.set(hurried._keys[1], "no sorted set")
    hurried.enqueue(b"package")
    found = hurried._read(1, 5)
    assert [delivery.package for delivery in found] == [b"package"]
    admin.delete(hurried._keys[1])
