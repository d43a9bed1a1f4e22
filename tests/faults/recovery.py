"""How long a soak took to be as before: processes to be there, services to be used."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import redis
from django.db import Error, connection

from qcore.models import Task
from qcore.testing.cluster import LiveCluster


class Recovery:
    """Looks whether it is so, and takes the time.

    Args:
        signs: a service -> says what has been done with it up to now, as a number that
            grows; None where it does not answer.
    """

    def __init__(self, signs: Mapping[str, Callable[[], int | None]]) -> None:
        #: seconds, by what was harmed
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self._signs = signs
        self._ended: list[tuple[float, str, int, frozenset[int]]] = []
        self._back: list[tuple[float, str, int]] = []

    def ended(self, what: str, number: int, pids: Iterable[int]) -> None:
        """Take the time until others stand in the place of processes of a cluster."""
        self._ended.append((time.monotonic(), what, number, frozenset(pids)))

    def back(self, what: str) -> None:
        """Take the time until a service that answers again is used again."""
        self._back.append((time.monotonic(), what, self._signs[what]() or 0))

    def look(self, clusters: Sequence[LiveCluster]) -> None:
        """Look whether anything has come to be as before.

        Args:
            clusters: those that run now; who was started anew has the number of the former.
        """
        self._ended = [one for one in self._ended if not self._is_over(one, clusters)]
        self._back = [one for one in self._back if not self._is_used(one)]

    def _is_over(
        self,
        one: tuple[float, str, int, frozenset[int]],
        clusters: Sequence[LiveCluster],
    ) -> bool:
        began, what, number, gone = one
        cluster = clusters[number]
        if not is_whole(cluster) or gone & pids_of(cluster):
            return False
        self.times[what].append(time.monotonic() - began)
        return True

    def _is_used(self, one: tuple[float, str, int]) -> bool:
        began, what, before = one
        if (self._signs[what]() or 0) <= before:
            return False
        self.times[what].append(time.monotonic() - began)
        return True


def is_whole(cluster: LiveCluster) -> bool:
    """Whether all processes of a cluster are there."""
    try:
        return cluster.is_complete()
    except AssertionError:  # it has ended
        return False


def pids_of(cluster: LiveCluster) -> set[int]:
    """Return the processes of a cluster that live."""
    if cluster.exit_code is not None:
        return set()
    return {cluster.sentinel, *cluster._dispatchers(), *cluster.workers}


def signs(ledger: Path, cache_port: int) -> dict[str, Callable[[], int | None]]:
    """Return what shows that a soak's servers are used: runs, rows and keys."""

    def rows() -> int | None:
        try:
            return Task.objects.count()
        except Error:
            connection.close()
            return None

    def keys() -> int | None:
        try:
            with redis.Redis(port=cache_port) as client:
                return int(client.dbsize())
        except redis.RedisError:
            return None

    return {
        "broker": lambda: ledger.stat().st_size,
        "database": rows,
        "cache": keys,
    }
