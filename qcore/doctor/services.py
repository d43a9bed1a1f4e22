"""The broker and the cache: do they answer, how fast, and what do they say."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from ..brokers.banded import BandedBroker
from ..brokers.bands import NAMES, USUAL, queue_of
from ..brokers.base import Broker
from ..findings import Finding, error, ok, warning
from ..monitor.text import number, seconds
from ..plugins.choice import Choice
from ..runtime import current
from ..status import route
from .measures import judge_clock, judge_round_trip, round_trip


def broker() -> Iterator[Finding]:
    """Yield what the broker says of itself and of its queue.

    Raises:
        BrokerError: it cannot be reached, or refuses.
    """
    service = current.broker()
    yield judge_round_trip(service.info(), round_trip(service.ping))
    yield ok(f"queue {service.queue}: {_queue(service)}")
    yield from bands(service)
    yield from judge_clock("the broker", service.clock)
    yield from service.diagnose()


def bands(service: Broker) -> Iterator[Finding]:
    """Yield what waits in the bands of a queue, where there are any, or were.

    With the setting off no cluster claims from the bands, and what was sent to them while
    it was on would wait for ever.
    """
    if isinstance(service, BandedBroker):
        if service.supports_counts:
            waiting = service.waiting()
            told = ", ".join(f"{name} {number(n)}" for name, n in waiting.items())
            yield ok(f"queue {service.queue}, waiting in its bands: {told}")
        return
    if service.supports_priority or not service.supports_counts:
        return
    left = {}
    for band, name in enumerate(NAMES):
        if band == USUAL:
            continue
        one = current.choice("broker").make(current.conf, queue_of(service.queue, band))
        try:
            if waiting_there := one.queue_size():
                left[name] = waiting_there
        finally:
            one.close()
    if left:
        told = ", ".join(f"{number(n)} in {name}" for name, n in left.items())
        yield warning(
            f"tasks wait in bands of the queue {service.queue}, which no cluster claims:"
            f" {told}",
            "Set Q_CLUSTER['bands'] to True in a cluster until they have run.",
        )


def _queue(service: Broker) -> str:
    waiting, claimed = service.sizes()
    parts = [] if waiting is None else [f"{number(waiting)} waiting"]
    parts += [] if claimed is None else [f"{number(claimed)} claimed"]
    parts = parts or ["this broker cannot count"]
    oldest = service.oldest_waiting()
    if oldest is not None:
        parts.append(f"the oldest for {seconds(oldest)}")
    return ", ".join(parts)


def cache() -> Iterator[Finding]:
    """Yield whether the cache keeps what it is given, and which way status goes.

    Raises:
        StoreError, ConfigError: it cannot be reached, or there is none of that name.
    """
    choice, name = current.choice("cache backend"), current.cache.info()
    key, value = f"qcore:doctor:{secrets.token_hex(8)}", secrets.token_bytes(8)

    def write_and_read() -> bytes | None:
        current.cache.set(key, value, ttl=60)
        return current.cache.get(key)

    taken = round_trip(write_and_read)
    kept = write_and_read() == value
    current.cache.delete_many([key])
    if current.cache.is_shared and not kept:
        yield error(
            f"the cache {name} does not keep its values",
            f"Set {_place(choice)} to a cache that works, or Q_CLUSTER['cache'] to"
            " another."
            if choice.is_default
            else f"Look at the cache that {_place(choice)} selects.",
        )
    elif kept:
        yield judge_round_trip(f"the cache {name}", taken / 2)
    yield _route(name, _place(choice))


def _place(choice: Choice) -> str:
    """Return the setting that says which cache there is."""
    if choice.is_default:
        return f"CACHES[{current.conf.cache!r}]"
    return f"Q_CLUSTER[{choice.because!r}]"


def _route(name: str, place: str) -> Finding:
    way = route()
    if way == "cache":
        return ok(f"status goes through the cache {name}")
    private = f"the cache {name} is private to each process"
    if way == "broker":
        return ok(f"{private}, so status goes through the broker")
    return warning(
        f"{private}, and the broker cannot carry status: clusters cannot be seen",
        f"Set {place} to a cache that processes share.",
    )
