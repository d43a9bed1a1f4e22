"""What is peculiar to Disque: the times of jobs, errors, its module for Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from servers.disque import DisqueServer

from qcore.envelope import Delivery
from qcore.errors import BrokerError, BrokerUnavailable
from qcore.testing.speed import Patience, in_time
from qcore_disque.broker import KEEP_SECONDS, DisqueBroker
from qcore_disque.job import Job

if TYPE_CHECKING:
    import redis
    from servers.redis import RedisServer

Open = Callable[..., DisqueBroker]
FOREIGN = b"D-00000000-AAAAAAAAAAAAAAAAAAAAAAAA-05a1"


@pytest.fixture
def broker(own_disque_server: DisqueServer, open_broker: Open) -> DisqueBroker:
    return open_broker(own_disque_server.address)


def receive(broker: DisqueBroker, seconds: float = 10) -> Delivery:
    deadline = Patience(seconds)
    while not (found := broker.dequeue(wait=1)):
        assert not deadline.is_over(), "nothing came"
    return found[0]


def show(admin: redis.Redis, id: str | bytes) -> dict[bytes, Any]:
    reply = admin.execute_command("SHOW", id)
    return dict(zip(reply[::2], reply[1::2], strict=True))


# -- times -------------------------------------------------------------------------


def test_what_is_asked_for_a_job(admin: redis.Redis, open_broker: Open) -> None:
    node = f"127.0.0.1:{admin.connection_pool.connection_kwargs['port']}"
    broker = open_broker(node, retry=7.2)
    job = show(admin, broker.enqueue(b"package", delay=1.5))
    assert (job[b"retry"], job[b"delay"]) == (9, 2)  # 8 whole seconds, and one over
    assert KEEP_SECONDS <= job[b"ttl"] <= KEEP_SECONDS + 2


def test_a_lease_without_end_is_cut(admin: redis.Redis, open_broker: Open) -> None:
    node = f"127.0.0.1:{admin.connection_pool.connection_kwargs['port']}"
    broker = open_broker(node, retry=1e300)
    id = broker.enqueue(b"package")
    week = 7 * 86_400
    assert show(admin, id)[b"retry"] == week + 1
    held = receive(broker)
    assert held.lease_end - time.monotonic() <= week + 0.5
    assert broker.extend([held.receipt]) == set()


def test_a_lease_begins_with_the_claim(
    own_disque_server: DisqueServer, open_broker: Open
) -> None:
    """Disque's time runs from when a job was queued; a long wait must not eat it up."""
    broker = open_broker(own_disque_server.address, retry=2)
    for wait in (1.2, 1.8):
        broker.enqueue(b"package")
        time.sleep(wait)
        claimed = time.monotonic()
        held = receive(broker)
        assert held.lease_end - claimed >= 2
        early = broker.dequeue(wait=max(0.0, held.lease_end - time.monotonic() - 0.1))
        came = (
            time.monotonic()
        )  # a slow machine may have slept over the end of the lease
        assert early == [] or came >= held.lease_end, "it came back within its lease"
        broker.acknowledge((early or [held])[0].receipt)


def test_jobs_of_others_keep_their_own_times(
    admin: redis.Redis, broker: DisqueBroker
) -> None:
    asked = time.monotonic()
    for retry, least, most in (
        (5, 4.4, 4.5),
        (1, 0.4, 0.5),
        (600, 60, 60),
        (0, 60, 60),
    ):
        admin.execute_command("ADDJOB", broker.queue, "body", 0, "RETRY", retry)
        now = time.monotonic()
        held = receive(broker)
        late = time.monotonic() - now
        assert now + least <= held.lease_end <= now + most + late
        broker.acknowledge(held.receipt)
    assert in_time(time.monotonic() - asked, 5)


def test_an_old_job_cannot_be_prolonged(
    admin: redis.Redis, broker: DisqueBroker
) -> None:
    """In the second half of its life Disque decides alone when a job comes back."""
    id = admin.execute_command("ADDJOB", broker.queue, "body", 0, "RETRY", 20, "TTL", 6)
    time.sleep(3.1)
    asked = time.monotonic()
    held = receive(broker)
    left = show(admin, id)[b"next-requeue-within"] / 1000
    assert asked < held.lease_end <= time.monotonic() + left + 0.002
    assert broker.extend([held.receipt]) == {held.receipt}
    broker.acknowledge(held.receipt)
    assert admin.execute_command("SHOW", id) is None


def test_a_job_that_is_gone_when_it_is_claimed(broker: DisqueBroker) -> None:
    """Acknowledged by its former holder between GETJOB and WORKING."""
    gone = Job(FOREIGN, broker.queue.encode(), b"package", 1)
    connection = broker._patient.connected()
    assert broker._hold(connection, [gone]) == []


# -- giving back -------------------------------------------------------------------


def test_attempts_outlive_a_delayed_release(broker: DisqueBroker) -> None:
    """Disque cannot delay a job twice, so it becomes another one."""
    package = b"\x00qcore-attempts:7\nlooks like a mark"
    broker.enqueue_many([package, b"plain"])
    attempts: dict[bytes, list[int]] = {package: [], b"plain": []}
    while sum(map(len, attempts.values())) < 8:
        held = receive(broker)
        attempts[held.package].append(held.attempt)
        delay = 0.5 if held.attempt % 2 else 0
        broker.release([held.receipt], delay=delay)
    seen = attempts[package], attempts[b"plain"]
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seen)
    broker.purge_queue()


def test_a_release_never_meets_the_next_holder(
    admin: redis.Redis, broker: DisqueBroker
) -> None:
    """One that comes at the very end of a lease is left to Disque."""
    id = admin.execute_command("ADDJOB", broker.queue, "body", 0, "RETRY", 1)
    held = receive(broker)
    while show(admin, id)[b"next-requeue-within"] > 200:
        time.sleep(0.01)
    broker.release([held.receipt])
    assert receive(broker).attempt == 2
    assert show(admin, id)[b"nacks"] == 0


# -- refusals ------------------------------------------------------------------------


def test_full_memory_can_still_be_drained(
    admin: redis.Redis, broker: DisqueBroker
) -> None:
    broker.enqueue_many([b"a", b"b"])
    admin.execute_command("CONFIG", "SET", "maxmemory", 1)
    for call in (
        lambda: broker.enqueue(b"x"),
        lambda: broker.enqueue_many([b"x", b"y"]),
        lambda: broker.enqueue(b"x", delay=1),
    ):
        with pytest.raises(BrokerError, match="no memory left") as raised:
            call()
        assert not isinstance(raised.value, BrokerUnavailable)
    held = [receive(broker), receive(broker)]
    assert broker.extend([held[0].receipt]) == set()
    broker.acknowledge_many([one.receipt for one in held])
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)


def test_a_part_of_a_batch_is_stored_whole_or_not_at_all(
    admin: redis.Redis, broker: DisqueBroker
) -> None:
    """What of it was stored before memory was full is taken back."""
    admin.execute_command("CONFIG", "SET", "maxmemory", 150 * 100)
    with pytest.raises(BrokerError, match="no memory left") as raised:
        broker.enqueue_many([b"x" * 100] * 350)
    admin.execute_command("CONFIG", "SET", "maxmemory", 0)
    assert (raised.value.stored, raised.value.unsure) == (100, 0)
    assert (broker.queue_size(), broker.lock_size()) == (100, 0)
    assert len(broker.enqueue_many([b"x" * 100] * 350)) == 350


def test_a_delayed_release_into_full_memory(
    admin: redis.Redis, broker: DisqueBroker
) -> None:
    """The task is not lost: its old job stays, and comes back after its lease."""
    broker.enqueue(b"package" * 10)
    held = receive(broker)
    admin.execute_command("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(BrokerError, match="no memory left"):
        broker.release([held.receipt], delay=1)
    assert (broker.queue_size(), broker.lock_size()) == (0, 1)


def test_a_queue_that_somebody_has_paused(
    admin: redis.Redis, broker: DisqueBroker
) -> None:
    broker.enqueue(b"package")
    admin.execute_command("PAUSE", broker.queue, "all")
    with pytest.raises(BrokerUnavailable, match="PAUSE <queue> none"):
        broker.enqueue(b"x")
    assert broker.dequeue(wait=0.3) == []
    admin.execute_command("PAUSE", broker.queue, "none")
    assert receive(broker).package == b"package"


@pytest.mark.parametrize("given", ["hush-hush", None], ids=["wrong", "none"])
def test_the_password_is_refused(
    own_disque_server: DisqueServer,
    admin: redis.Redis,
    open_broker: Open,
    given: str | None,
) -> None:
    admin.execute_command("CONFIG", "SET", "requirepass", "the-right-one")
    broker = open_broker(own_disque_server.address, disque_auth=given)
    for call in (broker.ping, broker.dequeue, lambda: broker.enqueue(b"x")):
        with pytest.raises(BrokerError, match=r"Set Q_CLUSTER\['disque_auth'\]") as got:
            call()
        assert not isinstance(got.value, BrokerUnavailable)
        assert "hush" not in f"{got.value}{got.value.__cause__}"


def test_a_password_that_nobody_asked_for(
    disque_server: DisqueServer, open_broker: Open
) -> None:
    broker = open_broker(disque_server.address, disque_auth="hush-hush")
    with pytest.raises(BrokerError, match="Remove 'disque_auth'") as raised:
        broker.ping()
    assert "hush" not in f"{raised.value}{raised.value.__cause__}"


def test_a_password_that_is_set_while_we_are_connected(
    own_disque_server: DisqueServer, admin: redis.Redis, open_broker: Open
) -> None:
    """Disque locks out who has not logged in, and the next call says what to set."""
    unknown = open_broker(own_disque_server.address)
    unknown.enqueue(b"package")
    admin.execute_command("CONFIG", "SET", "requirepass", "new")
    with pytest.raises(BrokerError, match="refuses the password"):
        unknown.ping()
    broker = open_broker(
        own_disque_server.address, queue=unknown.queue, disque_auth="new"
    )
    assert broker.ping()
    assert receive(broker).package == b"package"


def test_another_service_behind_the_port(
    redis_server: RedisServer, open_broker: Open
) -> None:
    broker = open_broker(f"127.0.0.1:{redis_server.port}")
    for call in (lambda: broker.enqueue(b"x"), broker.dequeue):
        with pytest.raises(BrokerError, match="another service listens") as raised:
            call()
        assert not isinstance(raised.value, BrokerUnavailable)


# -- the module of Redis -------------------------------------------------------------


@pytest.fixture(scope="module")
def module_server() -> Iterator[DisqueServer]:
    """A node that replies as Redis with the Disque module does."""
    server = DisqueServer("--dialect", "module")
    server.start()
    yield server
    server.close()


def test_the_replies_of_the_module(
    module_server: DisqueServer, open_broker: Open
) -> None:
    """Bulks for words, words for bulks, and null in the other form."""
    broker = open_broker(module_server.address, retry=1)
    assert broker.dequeue() == []
    assert broker.dequeue(wait=0.2) == []
    ids = broker.enqueue_many([b"a", b"b"])
    assert broker.delete(ids[1]) is True
    first = receive(broker)
    again = receive(broker)
    assert [first.attempt, again.attempt] == [1, 2]
    assert broker.extend([first.receipt, again.receipt]) == {first.receipt}
    assert (broker.queue_size(), broker.lock_size()) == (0, 1)
    broker.release([again.receipt])
    broker.acknowledge(receive(broker).receipt)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)
    assert broker.info() == "Disque module in Redis 7.0.15"
