"""One look at a project: its clusters, its queue, and how fast the work goes."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..errors import ConfigError, PluginError, QcoreError, StoreError
from ..runtime import current
from ..status import Pause, Snapshot, route, snapshots

SCHEMA = "qcore.monitor/1"
EMPTY = "No cluster is running. Start one: qcore cluster"
UNSEEN = (
    "Whether a cluster is running cannot be known: the cache is private to each process"
    " and the broker carries no status. Select a cache that processes share: CACHES, or"
    " Q_CLUSTER['cache_backend']."
)
#: Seconds over which tasks per second are reckoned: long enough to be steady,
#: short enough to show a change.
WINDOW = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one look has seen."""

    at: float  # seconds since the epoch
    project: str
    queue: str
    broker: str  # name and version of the service
    route: str  # how status comes here: "cache", "broker" or "none"
    waiting: int | None  # packages in the queue; None where it cannot count
    claimed: int | None  # packages that some cluster holds
    oldest: float | None  # seconds that the oldest package has waited to be claimed
    clusters: list[Snapshot]
    rates: dict[str, float] = field(default_factory=dict)  # tasks/s by cluster
    paused: list[Pause] | None = None  # queues; None where that is not known
    problem: str | None = None  # why the rest is empty

    @property
    def running(self) -> list[Snapshot]:
        """The clusters less those whose last word was that they have stopped."""
        return [c for c in self.clusters if c.state != "stopped"]

    @property
    def healthy(self) -> bool:
        """Whether a cluster is running and none of them reports a problem."""
        return bool(self.running) and not any(c.problem for c in self.running)

    def as_dict(self) -> dict[str, Any]:
        """Return it in the types of JSON; the schema is ``qcore.monitor/1``."""
        return {
            "schema": SCHEMA,
            "at": self.at,
            "project": self.project,
            "broker": self.broker,
            "queue": {
                "name": self.queue,
                "waiting": self.waiting,
                "claimed": self.claimed,
                "oldest_seconds": self.oldest,
            },
            "paused": msgspec.to_builtins(self.paused),
            "status_route": self.route,
            "clusters": [
                {**msgspec.to_builtins(cluster), "rate": self.rates[cluster.cluster]}
                for cluster in self.clusters
            ],
        }


def absence(way: str) -> str:
    """Return what to say where no cluster is seen, and status takes a way of `route`."""
    return UNSEEN if way == "none" else EMPTY


class Watcher:
    """Looks again and again, and remembers enough to tell the rates."""

    def __init__(self) -> None:
        # cluster id -> (moment, tasks done since its start), the oldest first
        self._past: dict[str, deque[tuple[float, int]]] = {}

    def look(self) -> View:
        """Return what is to be seen now.

        Raises:
            QcoreError: the settings are wrong, or the service cannot be reached.
        """
        conf, broker = current.conf, current.broker()
        clusters = snapshots()
        waiting, claimed = broker.sizes()
        return View(
            at=time.time(),
            project=conf.name,
            queue=conf.queue,
            broker=broker.info(),
            route=route(),
            waiting=waiting,
            claimed=claimed,
            oldest=broker.oldest_waiting(),
            clusters=clusters,
            rates=self._rates(clusters),
            paused=_paused(),
        )

    def look_patiently(self) -> View:
        """Return what is to be seen, or the reason why nothing is at the moment.

        Raises:
            ConfigError, PluginError: looking again would not help.
        """
        try:
            return self.look()
        except (ConfigError, PluginError):
            raise
        except QcoreError as error:
            conf = current.conf
            return View(
                at=time.time(),
                project=conf.name,
                queue=conf.queue,
                broker="cannot be reached",
                route="none",
                waiting=None,
                claimed=None,
                oldest=None,
                clusters=[],
                problem=str(error),
            )

    def _rates(self, clusters: list[Snapshot]) -> dict[str, float]:
        """Tasks per second over the window; at the first look, since the start."""
        rates = {}
        past = {}
        for cluster in clusters:
            done = cluster.succeeded + cluster.failed
            seen = self._past.get(cluster.cluster)
            if seen is None:
                seen = deque([(cluster.started, 0)])
            if seen[-1][0] < cluster.at:
                seen.append((cluster.at, done))
            while len(seen) > 2 and seen[1][0] < cluster.at - WINDOW:
                seen.popleft()
            (since, before), (until, after) = seen[0], seen[-1]
            elapsed = until - since
            rates[cluster.cluster] = (after - before) / elapsed if elapsed > 0 else 0.0
            past[cluster.cluster] = seen
        self._past = past
        return rates


def _paused() -> list[Pause] | None:
    """Return which queues are paused; None where the ledger does not say."""
    try:
        control = current.control
        return None if control is None else control.paused()
    except StoreError:
        return None  # its tables are missing, or it is away: clusters are seen all the same
