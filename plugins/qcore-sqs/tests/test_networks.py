"""Evil networks, interrupted calls, limits that are asked for, a service that forgets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from servers.base import free_port
from servers.sqs import REGION

from qcore.errors import PayloadTooLarge
from qcore.testing import NetworkContract
from qcore_sqs.broker import SQSBroker

if TYPE_CHECKING:
    from servers.sqs import MotoServer

Open = Callable[..., SQSBroker]


class TestNetworks(NetworkContract):
    """Between the broker and one endpoint."""

    gives_up = 2.0
    silence = r"cannot be reached: .*timeout"

    @pytest.fixture
    def service_port(self, moto_server: MotoServer) -> int:
        return moto_server.port

    @pytest.fixture
    def make_broker(self, open_broker: Open) -> Open:
        return lambda port, *rest, **settings: open_broker(
            f"http://127.0.0.1:{port}", *rest, **settings
        )


def test_the_service_is_named(moto_server: MotoServer, open_broker: Open) -> None:
    url = f"http://127.0.0.1:{moto_server.port}"
    assert open_broker(url).info() == f"SQS at {url} ({REGION})"


def test_a_service_that_comes_back_empty(
    own_moto_server: MotoServer, open_broker: Open
) -> None:
    """The queue is made again, and receipts of the old one are lost."""
    broker = open_broker(own_moto_server.url)
    broker.enqueue_many([b"a", b"b"])
    held = [delivery.receipt for delivery in broker.dequeue(2)]
    own_moto_server.kill()
    own_moto_server.restart()
    assert broker.extend(held) == set(held)
    broker.release(held)
    broker.acknowledge_many(held)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)
    broker.enqueue(b"c")
    (delivery,) = broker.dequeue(wait=1)
    assert delivery.package == b"c"


def test_a_larger_limit_is_asked_for(
    moto_server: MotoServer, open_broker: Open
) -> None:
    """Only a package over the documented 256 kB makes the broker ask before it sends."""
    broker = open_broker(moto_server.url)
    assert broker.max_payload == 196_608
    broker.check_size([b"x" * 196_608])
    assert broker.max_payload == 196_608, "it has asked without need"
    broker.enqueue(b"x" * 196_609)
    assert broker.max_payload == 786_432
    with pytest.raises(PayloadTooLarge, match="786,433 bytes, Amazon SQS takes up to"):
        broker.enqueue(b"x" * 786_433)


def test_without_the_service_the_documented_limit_holds(open_broker: Open) -> None:
    broker = open_broker(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(PayloadTooLarge, match="takes up to 196,608"):
        broker.enqueue(b"x" * 196_609)


def test_a_queue_that_takes_less(moto_server: MotoServer, open_broker: Open) -> None:
    """Its first package is measured again once the queue is known."""
    broker = open_broker(moto_server.url, "takes-less")
    admin(moto_server).create_queue(
        QueueName="takes-less", Attributes={"MaximumMessageSize": "4096"}
    )
    with pytest.raises(PayloadTooLarge, match="takes up to 3,072"):
        broker.enqueue(b"x" * 3_073)
    broker.enqueue(b"x" * 3_072)


def test_the_setting_max_payload_holds(
    moto_server: MotoServer, open_broker: Open
) -> None:
    broker = open_broker(moto_server.url, max_payload=1_000)
    with pytest.raises(PayloadTooLarge, match="takes up to 1,000"):
        broker.enqueue(b"x" * 1_001)


def test_a_new_queue_keeps_messages_for_two_weeks(
    moto_server: MotoServer, open_broker: Open
) -> None:
    broker = open_broker(moto_server.url)
    broker.enqueue(b"a")
    client = admin(moto_server)
    url = client.get_queue_url(QueueName=broker.queue)["QueueUrl"]
    told = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    assert told["Attributes"]["MessageRetentionPeriod"] == "1209600"


def test_a_queue_made_otherwise_is_left_as_it_is(
    moto_server: MotoServer, open_broker: Open
) -> None:
    client = admin(moto_server)
    made = client.create_queue(
        QueueName="made-otherwise", Attributes={"VisibilityTimeout": "1"}
    )
    broker = open_broker(moto_server.url, "made-otherwise", retry=60)
    broker.enqueue(b"a")
    (delivery,) = broker.dequeue()
    assert delivery.lease_end - time.monotonic() > 50
    told = client.get_queue_attributes(
        QueueUrl=made["QueueUrl"], AttributeNames=["All"]
    )
    assert told["Attributes"]["VisibilityTimeout"] == "1"
    assert broker.lock_size() == 1


def admin(server: MotoServer) -> Any:
    """Return a client for what an administrator does."""
    return boto3.client(
        "sqs",
        region_name=REGION,
        endpoint_url=server.url,
        aws_access_key_id="AKIATESTS",
        aws_secret_access_key="s3cret-of-sqs",
    )
