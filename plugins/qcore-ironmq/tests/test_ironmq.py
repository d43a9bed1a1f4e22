"""What is peculiar to IronMQ: reservations that change, the front of the queue, 404."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from servers.ironmq import IronMQServer, real_options

from qcore.conf import Conf
from qcore.envelope import Delivery
from qcore.errors import BrokerError, BrokerUnavailable
from qcore.testing.speed import Patience, begun_again_when_late, must_precede
from qcore_ironmq.broker import EXPIRATION_SECONDS, IronMQBroker
from qcore_ironmq.client import Client, Service
from qcore_ironmq.receipt import Receipt

Open = Callable[..., IronMQBroker]
LONG = 3600
LEASE = 30.0 if real_options() else 1.5


@pytest.fixture
def service(options: dict[str, object]) -> Service:
    """The client by itself, for what an administrator does."""
    client = Client(options)
    client.reply_seconds = 10
    return Service(client)


def receive(broker: IronMQBroker, count: int = 1) -> list[Delivery]:
    found: list[Delivery] = []
    deadline = Patience(LEASE + 10)
    while len(found) < count:
        assert not deadline.is_over(), f"{len(found)} of {count} came"
        found += broker.dequeue(count - len(found), wait=0.5)
    return found


# -- reservations ----------------------------------------------------------------------


def test_a_renewal_by_one_instance_counts_for_another(open_broker: Open) -> None:
    """The keeper renews with its broker, the recorder acknowledges with its own."""
    claimer = open_broker(retry=LONG)
    keeper = open_broker(retry=LONG, queue=claimer.queue)
    recorder = open_broker(retry=LONG, queue=claimer.queue)
    claimer.enqueue_many([b"a", b"b"])
    held = [delivery.receipt for delivery in receive(claimer, 2)]
    before = [receipt.reservation for receipt in held]  # type: ignore[attr-defined]
    assert keeper.extend(held) == set()
    assert keeper.extend(held) == set()
    after = [receipt.reservation for receipt in held]  # type: ignore[attr-defined]
    assert not set(before) & set(after), "a renewal kept the reservation"
    recorder.acknowledge(held[0])
    recorder.release([held[1]])
    assert [one.package for one in claimer.dequeue(5)] == [b"b"]


def test_renewing_while_acknowledging(open_broker: Open) -> None:
    """A renewal under way must not make the acknowledgement void."""
    broker = open_broker(retry=LONG)
    keeper = open_broker(retry=LONG, queue=broker.queue)
    broker.enqueue_many([b"%02d" % n for n in range(60)])
    held = [delivery.receipt for delivery in receive(broker, 60)]
    half_done = threading.Event()
    problems: list[BaseException] = []

    def renew() -> None:
        try:
            keeper.extend(held[:20])
            half_done.set()
            keeper.extend(held)
        except BaseException as error:  # noqa: BLE001 - shown below
            problems.append(error)

    thread = threading.Thread(target=renew)
    thread.start()
    assert half_done.wait(30)
    for start in range(0, 60, 20):
        broker.acknowledge_many(held[start : start + 20])
    thread.join(60)
    assert problems == []
    broker.release(held)  # had one been kept, it would come now
    assert broker.dequeue(100) == []


class TestLate:
    stretch = 1.0

    @begun_again_when_late
    def test_while_nobody_has_it(self, open_broker: Open) -> None:
        """A reservation that timed out is refused; the task is removed all the same."""
        lease = LEASE * self.stretch
        broker = open_broker(retry=lease)
        broker.enqueue_many([b"late", b"kept"])
        claimed = time.monotonic()
        late, kept = receive(broker, 2)
        renewed = time.monotonic()
        refused = broker.extend([kept.receipt])
        must_precede(claimed + lease)
        assert refused == set()
        time.sleep(lease * 0.7)
        again = time.monotonic()
        refused = broker.extend([kept.receipt])
        must_precede(renewed + lease)
        assert refused == set()
        time.sleep(lease * 0.5)
        # both in one call, of which the service refuses a part
        broker.acknowledge_many([late.receipt, kept.receipt])
        must_precede(again + lease)
        assert broker.dequeue(10, wait=1.5 * lease) == []


def test_late_when_another_has_it(open_broker: Open) -> None:
    """It stays his: he may still fail, and then it must come again."""
    late = open_broker(retry=LEASE)
    holder = open_broker(retry=LONG, queue=late.queue)
    late.enqueue(b"package")
    stale = receive(late)[0]
    current = receive(holder)[0]
    late.acknowledge(stale.receipt)
    holder.release([current.receipt])
    assert [one.attempt for one in receive(holder)] == [3]


def test_at_the_pace_of_the_service(own_ironmq_server: IronMQServer) -> None:
    """The broker as it is, with a lease that outlives the service's process."""
    conf = Conf.from_dict({"iron_mq": own_ironmq_server.options, "retry": 30})
    with closing(IronMQBroker(conf, "shop")) as broker:
        broker.enqueue(b"package")
        held = receive(broker)[0]
        own_ironmq_server.kill()
        with pytest.raises(BrokerUnavailable):
            broker.extend([held.receipt])
        own_ironmq_server.start()
        assert broker.extend([held.receipt]) == set()
        assert broker.dequeue(wait=1) == []
        broker.acknowledge(held.receipt)
        assert broker.extend([held.receipt]) == {held.receipt}


# -- order -----------------------------------------------------------------------------


def test_released_come_first(open_broker: Open) -> None:
    broker = open_broker(retry=LONG)
    broker.enqueue_many([b"1", b"2", b"3"])
    first = receive(broker)[0]
    broker.release([first.receipt])
    assert [one.package for one in receive(broker, 3)] == [b"1", b"2", b"3"]


def test_timed_out_come_first(open_broker: Open) -> None:
    broker = open_broker(retry=LEASE)
    broker.enqueue_many([b"1", b"2", b"3"])
    receive(broker, 2)
    time.sleep(LEASE * 1.1)
    found = receive(broker, 3)
    assert [(one.package, one.attempt) for one in found] == [
        (b"1", 2),
        (b"2", 2),
        (b"3", 1),
    ]


# -- queues ----------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["enqueue", "dequeue"])
def test_a_missing_queue_is_made_to_keep(
    open_broker: Open, service: Service, first: str
) -> None:
    """For 30 days; a queue that posting makes forgets in seven."""
    broker = open_broker()
    if first == "enqueue":
        broker.enqueue(b"a")
    else:
        assert broker.dequeue() == []
    told = service.queue(broker.queue).info()
    assert told["message_expiration"] == EXPIRATION_SECONDS
    broker.delete_queue()


def test_a_queue_that_is_there_is_left_as_it_is(
    open_broker: Open, service: Service
) -> None:
    broker = open_broker()
    service.create_queue(broker.queue, {"message_expiration": 3600})
    broker.enqueue(b"a")
    assert receive(broker)[0].package == b"a"
    assert service.queue(broker.queue).info()["message_expiration"] == 3600
    broker.delete_queue()


def test_a_queue_that_was_deleted_meanwhile(
    open_broker: Open, service: Service
) -> None:
    broker = open_broker(retry=LONG)
    broker.enqueue_many([b"a", b"b"])
    held = [delivery.receipt for delivery in receive(broker, 2)]
    service.queue(broker.queue).delete_queue()
    assert broker.extend(held) == set(held)
    broker.release(held)
    broker.acknowledge_many(held)
    broker.purge_queue()
    assert broker.delete("1") is False
    broker.enqueue(b"c")
    assert receive(broker)[0].package == b"c"


def test_awkward_names(open_broker: Open) -> None:
    """The client puts names into addresses as they are, where / ? # mean something."""
    names = [f"{secrets.token_hex(4)}{end}" for end in ("/a b", "?n=1", "#x", "ä%2F")]
    brokers = [open_broker(queue=name) for name in names]
    for broker in brokers:
        broker.enqueue(broker.queue.encode())
    for broker in brokers:
        assert [one.package.decode() for one in receive(broker)] == [broker.queue]
        broker.delete_queue()


# -- bad input -------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["", ".", "..", "no-such-id", "a/b", "?"])
def test_deleting_what_is_not_there(open_broker: Open, id: str) -> None:
    """An empty id would be the address of all messages."""
    broker = open_broker(retry=LONG)
    broker.enqueue(b"package")
    assert broker.delete(id) is False
    assert [one.package for one in receive(broker)] == [b"package"]


def test_deleting_what_is_claimed(open_broker: Open) -> None:
    broker = open_broker(retry=LONG)
    id = broker.enqueue(b"package")
    held = receive(broker)[0]
    assert broker.delete(id) is False
    assert broker.extend([held.receipt]) == set()


def test_receipts_of_nowhere(open_broker: Open) -> None:
    broker = open_broker()
    broker.enqueue(b"package")
    nowhere = Receipt("1", "none")
    broker.acknowledge_many([nowhere, nowhere])
    broker.release([nowhere])
    assert broker.extend([nowhere]) == {nowhere}
    assert [one.package for one in receive(broker)] == [b"package"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"token": "hush-hush"}, "refuses the token. Set 'token'"),
        ({"project_id": "another"}, "Check 'project_id'"),
    ],
)
def test_wrong_credentials(
    open_broker: Open, options: dict[str, object], wrong: dict[str, object], told: str
) -> None:
    broker = open_broker({**options, **wrong})
    for call in (broker.ping, broker.dequeue, lambda: broker.enqueue(b"a")):
        with pytest.raises(BrokerError, match=told) as raised:
            call()
        assert not isinstance(raised.value, BrokerUnavailable)
        assert "hush" not in str(raised.value)


def test_a_host_without_an_address(
    open_broker: Open, options: dict[str, object]
) -> None:
    broker = open_broker({**options, "host": "no-such-host.invalid"})
    with pytest.raises(BrokerUnavailable, match="set 'host', 'port'"):
        broker.ping()


def test_plain_http_is_spoken_to_as_https(
    open_broker: Open, options: dict[str, object], quick_server: IronMQServer | None
) -> None:
    """The mistake of who forgets 'protocol' for an installation of his own."""
    if quick_server is None:
        pytest.skip("the real service speaks https")
    broker = open_broker({**options, "protocol": "https"})
    with pytest.raises(BrokerUnavailable, match="set 'host', 'port' and 'protocol'"):
        broker.ping()


def test_info(open_broker: Open, options: dict[str, object]) -> None:
    broker = open_broker()
    assert broker.info().startswith("IronMQ at http")
    assert str(options["host"]) in broker.info()
