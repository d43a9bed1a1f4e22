"""Evil networks: silence, interrupted calls, garbage."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qcore.errors import BrokerUnavailable
from qcore_disque.broker import DisqueBroker

if TYPE_CHECKING:
    from types import FrameType

    from servers.disque import DisqueServer

    from qcore.testing.proxy import FaultProxy

Open = Callable[..., DisqueBroker]


@pytest.fixture
def proxy(
    disque_server: DisqueServer, fault_proxy: Callable[[int], FaultProxy]
) -> FaultProxy:
    return fault_proxy(disque_server.port)


@pytest.fixture
def broker(proxy: FaultProxy, open_broker: Open) -> DisqueBroker:
    return open_broker(f"127.0.0.1:{proxy.port}", retry=4)


def test_silence_is_noticed_and_forgotten(
    proxy: FaultProxy, broker: DisqueBroker
) -> None:
    """A peer that says nothing costs a web request less than two seconds."""
    broker.enqueue(b"before")
    broker.dequeue(wait=5)
    proxy.fault("black-hole")
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="Timeout"):
        broker.enqueue(b"lost or late")
    assert time.monotonic() - started < 2.5
    with pytest.raises(BrokerUnavailable, match="Timeout"):
        broker.dequeue(wait=1)
    proxy.fault("pass")
    broker.enqueue(b"after")
    found: set[bytes] = set()
    while b"after" not in found:
        found |= {one.package for one in broker.dequeue(10, wait=1)}


def test_an_interrupted_call_does_not_mix_up_replies(
    proxy: FaultProxy, broker: DisqueBroker
) -> None:
    """A task's time-out may strike while its own enqueue waits for the reply."""

    class Struck(BaseException):
        pass

    def strike(number: int, frame: FrameType | None) -> None:
        raise Struck

    broker.ping()
    proxy.fault("delay", 0.5)
    before = signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Struck):
            broker.enqueue(b"package")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    proxy.fault("pass")
    assert broker.ping()
    assert broker.info() == "Disque 1.0-rc1"


def test_garbage_is_unavailability(proxy: FaultProxy, broker: DisqueBroker) -> None:
    """A reply with a wrong first byte drops the connection, and the next call works."""
    broker.ping()
    proxy.fault("corrupt", 0)
    with pytest.raises(BrokerUnavailable):
        broker.enqueue(b"package")
    proxy.fault("pass")
    assert broker.queue_size() == 1


def test_a_connection_that_was_closed_between_calls(
    proxy: FaultProxy, broker: DisqueBroker
) -> None:
    """It is seen before a package is sent on it."""
    for number in range(3):
        broker.enqueue(b"%d" % number)
        proxy.fault("refuse")
        proxy.fault("pass")
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
    deadline = time.monotonic() + 15
    while found != {b"package", b"x" * 100}:
        assert time.monotonic() < deadline, f"only {len(found)} came back"
        found |= {one.package for one in broker.dequeue(10, wait=1)}
