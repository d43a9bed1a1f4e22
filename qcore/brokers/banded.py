"""A queue in five bands: priorities on a broker that knows none.

With ``"bands": True`` each queue of the project is five queues of its broker, one for each
band of priorities. They are claimed in order, and look like one queue to everybody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..envelope import Delivery
from .bands import NAMES, USUAL, band_of, queue_of
from .base import CAPABILITIES, Broker
from .pauses import Pauses

if TYPE_CHECKING:
    from ..conf import Conf
    from ..findings import Finding

#: Of so many packages, one is claimed from the lowest band that has any, so that nothing
#: waits for ever.
SHARE = 10
#: Seconds of the pauses of an idle consumer between two rounds through the bands.
_FIRST, _GROWTH, _LONGEST = 0.01, 1.5, 0.5

#: ``make(queue)`` returns a broker for one queue of the service.
Make = Callable[[str], Broker]


class BandReceipt(NamedTuple):
    """The receipt of a delivery, with the band that it came from."""

    band: int
    receipt: Hashable


class BandedBroker(Broker):
    """One queue whose packages are in five queues of another broker.

    Args:
        conf: the cluster's settings.
        queue: name of the queue.
        make: makes the brokers of the bands.

    Raises:
        ConfigError: see the broker of the bands.
    """

    supports_priority = True

    def __init__(self, conf: Conf, queue: str, make: Make) -> None:
        super().__init__(conf, queue)
        self._bands = [make(queue_of(queue, band)) for band in range(len(NAMES))]
        self._usual = self._bands[USUAL]
        self.max_batch = self._usual.max_batch
        self.database = self._usual.database
        self._owed = 0.0  # packages of the lowest band, of those that were claimed
        self._pauses = Pauses(_FIRST, _GROWTH, _LONGEST)

    # -- sending -----------------------------------------------------------
    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return self._usual.enqueue_many(packages, delay=delay)

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        band = band_of(priority)
        ids = self._bands[band].enqueue_many(packages, delay=delay)
        # ids of the usual band are those of the broker, with bands and without them
        return ids if band == USUAL else [f"{NAMES[band]}/{id}" for id in ids]

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        end = time.monotonic() + wait
        while True:
            found = self._claim(limit)
            left = end - time.monotonic()
            if not found and left > 0:
                found = self._rest(limit, min(left, self._pauses.next()))
            if found:
                self._pauses.reset()
                return found
            if time.monotonic() >= end:
                return []

    def _rest(self, limit: int, seconds: float) -> list[Delivery]:
        """Wait for a moment, where the service can at the usual band."""
        if self.supports_blocking:
            return self._from(USUAL, limit, seconds)
        time.sleep(seconds)
        return []

    def _claim(self, limit: int) -> list[Delivery]:
        """Claim from the most urgent band down; now and then from the lowest one up."""
        # a whole claim now and then: a part of each would ask every band twice
        share = limit if self._owed >= limit else 0
        last = len(NAMES) - 1
        self._owed -= share
        at_once = self._in_one_step(limit, from_below=share > 0)
        if at_once is not None:
            self._owed += len(at_once) / SHARE
            return at_once
        found: list[Delivery] = []
        plan = [(band, share) for band in range(last, -1, -1)] if share else []
        plan += [(band, limit) for band in range(last + 1)]
        for band, most in plan:
            if len(found) >= most:
                continue
            try:
                found += self._from(band, most - len(found))
            except Exception:
                if not found:
                    raise
                break  # what is claimed is handed out; the next call meets the error
        self._owed += len(found) / SHARE
        return found

    def _in_one_step(self, limit: int, *, from_below: bool) -> list[Delivery] | None:
        """Claim from all bands at once; None where the service cannot."""
        order = range(len(NAMES))[::-1] if from_below else range(len(NAMES))
        found = self._usual.dequeue_bands([self._bands[band] for band in order], limit)
        if found is None:
            return None
        return [one for place, its in found for one in _with_band(order[place], its)]

    def _from(self, band: int, limit: int, wait: float = 0) -> list[Delivery]:
        return _with_band(band, self._bands[band].dequeue(limit, wait))

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        for broker, its in self._by_band(receipts):
            broker.acknowledge_many(its)

    def fail(self, receipt: Hashable) -> None:
        for broker, its in self._by_band([receipt]):
            broker.fail(its[0])

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        if not self.supports_release:
            self._usual.release([], delay=delay)  # says so
        for broker, its in self._by_band(receipts):
            broker.release(its, delay=delay)

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        if not self.supports_extend:
            return self._usual.extend(receipts)  # says so
        lost: set[Hashable] = set()
        for band, its in _parted(receipts).items():
            found = self._bands[band].extend(its)
            lost |= {BandReceipt(band, receipt) for receipt in found}
        return lost

    def _by_band(
        self, receipts: Iterable[Hashable]
    ) -> Iterator[tuple[Broker, list[Hashable]]]:
        for band, its in _parted(receipts).items():
            yield self._bands[band], its

    # -- looking after -------------------------------------------------------
    def delete(self, id: str) -> bool:
        name, slash, rest = id.partition("/")
        if slash and name in NAMES:
            return self._bands[NAMES.index(name)].delete(rest)
        return self._usual.delete(id)

    def queue_size(self) -> int:
        return sum(one.queue_size() for one in self._bands)

    def lock_size(self) -> int:
        return sum(one.lock_size() for one in self._bands)

    def waiting(self) -> dict[str, int]:
        """Return how many packages wait in each band, by the name of the band.

        Raises:
            Unsupported: the broker cannot count.
        """
        return {
            name: one.queue_size() for name, one in zip(NAMES, self._bands, strict=True)
        }

    def oldest_waiting(self) -> float | None:
        found = [one.oldest_waiting() for one in self._bands]
        return max((one for one in found if one is not None), default=None)

    def delayed(self) -> list[tuple[float, bytes]]:
        return sorted(found for one in self._bands for found in one.delayed())

    def purge_queue(self) -> None:
        for one in self._bands:
            one.purge_queue()

    def delete_queue(self) -> None:
        for one in self._bands:
            one.delete_queue()

    def ping(self) -> bool:
        return self._usual.ping()

    def info(self) -> str:
        return self._usual.info()

    def info_name(self) -> str:
        return self._usual.info_name()

    def clock(self) -> float | None:
        return self._usual.clock()

    def diagnose(self) -> list[Finding]:
        return self._usual.diagnose()

    def close(self) -> None:
        for one in self._bands:
            one.close()

    def check_size(self, packages: Iterable[bytes]) -> None:
        self._usual.check_size(packages)

    def check_delay(self, delay: float) -> None:
        self._usual.check_delay(delay)

    @property
    def max_payload(self) -> int | None:  # type: ignore[override]
        """What the service says, as soon as it has said it."""
        return self._usual.max_payload

    # -- status snapshots ----------------------------------------------------
    def set_stat(self, key: str, value: bytes, ttl: float) -> None:
        self._usual.set_stat(key, value, ttl)

    def get_stats(self, prefix: str) -> list[bytes]:
        return self._usual.get_stats(prefix)


def _with_band(band: int, deliveries: Sequence[Delivery]) -> list[Delivery]:
    return [
        Delivery(
            BandReceipt(band, one.receipt), one.package, one.attempt, one.lease_end
        )
        for one in deliveries
    ]


def _parted(receipts: Iterable[Hashable]) -> dict[int, list[Hashable]]:
    """Return the receipts of the broker by band.

    A receipt without a band is of a time in which there were none: of the usual one.
    """
    parts: dict[int, list[Hashable]] = {}
    for one in receipts:
        band, own = one if isinstance(one, BandReceipt) else (USUAL, one)
        parts.setdefault(band, []).append(own)
    return parts


#: A kind of broker -> the class of its banded brokers.
_kinds: dict[type[Broker], type[BandedBroker]] = {}


def _kind(inner: type[Broker]) -> type[BandedBroker]:
    """Return the class of banded brokers of a kind, with its name and its capabilities."""
    if (known := _kinds.get(inner)) is not None:
        return known
    flags = {
        f"supports_{name}": getattr(inner, f"supports_{name}")
        for name in CAPABILITIES
        if name != "priority"
    }
    others = {"blocks": inner.blocks, "counts_claimed": inner.counts_claimed}
    made = type(inner.__name__, (BandedBroker,), {**flags, **others})
    return _kinds.setdefault(inner, made)


def banded(conf: Conf, queue: str, make: Make) -> Broker:
    """Return a broker with bands, or the broker itself where it knows priorities.

    Args:
        conf: the cluster's settings.
        queue: name of the queue.
        make: makes a broker for one queue of the service.

    Raises:
        ConfigError: see the broker.
    """
    usual = make(queue)
    if usual.supports_priority:
        return usual

    def reuse(name: str) -> Broker:
        return usual if name == queue else make(name)

    return _kind(type(usual))(conf, queue, reuse)
