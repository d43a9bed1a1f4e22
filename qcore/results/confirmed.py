"""Confirmed: which stored successes have no delivery any more, so that they may be pruned.

A success that is stored and not acknowledged must be found when its package comes again, or
the task would run twice. So a young one is pruned only by the cluster that has seen its
acknowledgement. What is older than two leases may be pruned by anybody: its package has come
again by then, or it never will.
"""

from __future__ import annotations

import datetime as dt
import heapq
import time
from collections.abc import Collection, Iterable

from .rows import Row

#: Leases after which a success may be pruned whoever has stored it.
LEASES = 2
#: Successes that are remembered at most, about 3 MB. Those beyond wait for their age.
MOST = 20_000
#: Databases round times to microseconds, each in its way.
_BLUR = 0.001

Place = tuple[dt.datetime, str]  # when it stopped, and its id


class Confirmed:
    """Remembers what one store has stored, until it is acknowledged and pruned.

    Args:
        lease: seconds after which a package comes again.
    """

    def __init__(self, lease: float) -> None:
        self._age = LEASES * lease
        # seconds since the epoch: each result that is stored passes here
        self._stored: dict[str, tuple[str | None, float]] = {}
        self._heaps: dict[str | None, list[tuple[float, str]]] = {}
        self._count = 0

    def young(self) -> float:
        """Return the moment after which a success is too young for everybody."""
        return time.time() - self._age

    def note(self, row: Row, key: str | None) -> None:
        """Remember a success that is being stored; ``key`` is whose limit it counts for."""
        if len(self._stored) < MOST:
            self._stored[row.id] = key, row.stopped

    def acknowledge(self, ids: Iterable[str]) -> None:
        """Note that no delivery of these is left."""
        for id in ids:
            if (found := self._stored.pop(id, None)) and self._count < MOST:
                key, stopped = found
                heapq.heappush(self._heaps.setdefault(key, []), (stopped, id))
                self._count += 1

    def forget(self) -> None:
        """Drop what is old enough for everybody."""
        before = self.young()
        for id in [id for id, (_, at) in self._stored.items() if at < before]:
            del self._stored[id]
        for key in list(self._heaps):
            self._drop(key, before)

    def take(self, key: str | None, last: Place) -> Collection[str]:
        """Return what may be pruned of the successes before a place.

        The database is to compare once more: those next to the place are among them.
        """
        self._drop(key, self.young())
        heap, end = self._heaps.get(key, []), last[0].timestamp()
        ids = []
        while heap and heap[0][0] < end - _BLUR:
            ids.append(heapq.heappop(heap)[1])
        self._count -= len(ids)
        return ids + [id for at, id in heap if at <= end + _BLUR]

    def _drop(self, key: str | None, before: float) -> None:
        heap = self._heaps.get(key, [])
        while heap and heap[0][0] < before:
            heapq.heappop(heap)
            self._count -= 1
        if not heap:
            self._heaps.pop(key, None)
