"""Evil networks: silence, interrupted calls, garbage."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qcore.errors import BrokerUnavailable
from qcore_redis.broker import RedisBroker

if TYPE_CHECKING:
    from types import FrameType

    from servers.redis import RedisServer

    from qcore.testing.proxy import FaultProxy

Open = Callable[..., RedisBroker]


def test_silence_is_noticed_and_forgotten(
    redis_server: RedisServer,
    open_broker: Open,
    fault_proxy: Callable[[int], FaultProxy],
) -> None:
    """A peer that says nothing costs a web request less than two seconds."""
    proxy = fault_proxy(redis_server.port)
    broker = open_broker({"port": proxy.port}, retry=4)
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
    redis_server: RedisServer,
    open_broker: Open,
    fault_proxy: Callable[[int], FaultProxy],
) -> None:
    """A task's time-out may strike while its own enqueue waits for the reply."""

    class Struck(BaseException):
        pass

    def strike(number: int, frame: FrameType | None) -> None:
        raise Struck

    proxy = fault_proxy(redis_server.port)
    broker = open_broker({"port": proxy.port})
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
    assert broker.info().split()[0] in ("Redis", "Valkey")


def test_garbage_is_unavailability(
    redis_server: RedisServer,
    open_broker: Open,
    fault_proxy: Callable[[int], FaultProxy],
) -> None:
    """A reply with a wrong first byte drops the connection, and the next call works."""
    proxy = fault_proxy(redis_server.port)
    broker = open_broker({"port": proxy.port})
    broker.ping()
    proxy.fault("corrupt", 0)
    with pytest.raises(BrokerUnavailable):
        broker.enqueue(b"package")
    proxy.fault("pass")
    assert broker.queue_size() == 1
