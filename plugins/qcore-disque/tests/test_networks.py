"""Evil networks: silence, broken lines, interrupted calls, garbage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qcore.errors import BrokerUnavailable
from qcore.testing import NetworkContract
from qcore.testing.speed import Patience
from qcore_disque.broker import DisqueBroker

if TYPE_CHECKING:
    from servers.disque import DisqueServer

    from qcore.testing.proxy import FaultProxy

Open = Callable[..., DisqueBroker]


class TestNetworks(NetworkContract):
    """Between the broker and one node."""

    silence = "Timeout"

    @pytest.fixture
    def service_port(self, disque_server: DisqueServer) -> int:
        return disque_server.port

    @pytest.fixture
    def make_broker(self, open_broker: Open) -> Open:
        return lambda port, queue, **settings: open_broker(
            f"127.0.0.1:{port}", queue=queue, **settings
        )


def test_the_node_is_named(disque_server: DisqueServer, open_broker: Open) -> None:
    assert open_broker(disque_server.address).info() == "Disque 1.0-rc1"


@pytest.fixture
def proxy(
    disque_server: DisqueServer, fault_proxy: Callable[[int], FaultProxy]
) -> FaultProxy:
    return fault_proxy(disque_server.port)


@pytest.fixture
def broker(proxy: FaultProxy, open_broker: Open) -> DisqueBroker:
    return open_broker(f"127.0.0.1:{proxy.port}", retry=4)


def test_a_connection_that_was_closed_between_calls(
    proxy: FaultProxy, broker: DisqueBroker
) -> None:
    """It is seen before a package is sent on it."""
    for number in range(3):
        broker.enqueue(b"%d" % number)
        proxy.fault("refuse")
        proxy.fault("pass")
        # the reset crosses the loopback by itself; a call that meets it half-way is
        # one whose connection broke, and that is another test
        time.sleep(0.1)
    assert broker.queue_size() == 3


def test_a_claim_whose_lease_could_not_begin(
    proxy: FaultProxy, broker: DisqueBroker
) -> None:
    """The connection breaks between GETJOB and WORKING: the job comes back."""
    broker.enqueue(b"package")
    assert broker.dequeue(wait=0.1), "it is the only one"
    broker.enqueue(b"x" * 100)
    # what is let through ends in the reply to GETJOB, or right after it
    proxy.fault("cut", 250)
    with pytest.raises(BrokerUnavailable):
        broker.dequeue(wait=1)
    proxy.fault("pass")
    found: set[bytes] = set()
    deadline = Patience(15)
    while found != {b"package", b"x" * 100}:
        assert not deadline.is_over(), f"only {len(found)} came back"
        found |= {one.package for one in broker.dequeue(10, wait=1)}
