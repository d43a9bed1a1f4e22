"""Acknowledged: stored successes whose deliveries are gone, so that they may be pruned.

A success that is stored and not acknowledged must be found when its package comes again, or
the task would run twice. So a young one is pruned only by the cluster that has seen its
acknowledgement. What is older than two leases may be pruned by anybody: its package has come
again by then, or it never will.
"""

from __future__ import annotations

import datetime as dt
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping

#: Leases after which a success may be pruned whoever has stored it.
LEASES = 2
#: Successes that are remembered at most, about 3 MB. Those beyond wait for their age.
MOST = 20_000
#: Databases round times to microseconds, each in its way.
_BLUR = 0.001

Place = tuple[dt.datetime, str]  # when it stopped, and its id


class Acknowledged:
    """Remembers what one store has stored, until it is acknowledged and pruned.

    Args:
        lease: seconds after which a package comes again.
    """

    def __init__(self, lease: float) -> None:
        self._age = LEASES * lease
        # seconds since the epoch: each result that is stored passes here
        self._stored: dict[str, tuple[str | None, float]] = {}
        # sorted when they are looked at: they come nearly in their order
        self._ready: dict[str | None, list[tuple[float, str]]] = {}
        self._count = 0

    def young(self) -> float:
        """Return the moment after which a success is too young for everybody."""
        return time.time() - self._age

    def note(self, stored: Mapping[str, tuple[str | None, float]]) -> None:
        """Remember successes that are being stored.

        Args:
            stored: id -> whose limit it counts for, and when it stopped.
        """
        if len(self._stored) + len(stored) <= MOST:
            self._stored.update(stored)

    def acknowledge(self, ids: Iterable[str]) -> set[str | None]:
        """Note that no delivery of these is left; return whose limits they count for."""
        keys = set()
        for id in ids:
            if (found := self._stored.pop(id, None)) and self._count < MOST:
                key, stopped = found
                self._ready.setdefault(key, []).append((stopped, id))
                self._count += 1
                keys.add(key)
        return keys

    def forget(self) -> None:
        """Drop the successes that are old enough for every cluster to prune."""
        before = self.young()
        for id in [id for id, (_, at) in self._stored.items() if at < before]:
            del self._stored[id]
        for key in list(self._ready):
            self._ready[key].sort()
            self._drop(key, before)

    def before(self, key: str | None, last: Place) -> list[str]:
        """Return the successes before a place that may be pruned.

        The database is to compare once more: those next to the place are among them.
        """
        ready = self._ready.get(key, [])
        ready.sort()
        end = bisect_left(ready, (last[0].timestamp() + _BLUR, ""))
        return [id for _, id in ready[:end]]

    def pruned(self, key: str | None, last: Place) -> None:
        """Forget the successes before a place: they are pruned."""
        self._drop(key, last[0].timestamp() - _BLUR)

    def _drop(self, key: str | None, before: float) -> None:
        """Drop what stopped earlier; the list is sorted."""
        ready = self._ready.get(key, [])
        end = bisect_left(ready, (before, ""))
        self._count -= end
        del ready[:end]
        if not ready:
            self._ready.pop(key, None)
