"""Where the clusters of a test of faults and the test itself meet."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from live_fixtures import QUICK

from qcore.testing.cluster import LiveCluster

if TYPE_CHECKING:
    from servers.base import LoopbackServer

#: Seconds; the lease of rows in which one ends: three renewals may fail in it. Where none
#: is to end, a test says ``retry=LONG``: a busy machine loses short ones.
LEASE = 3.0
LONG = 30.0

#: Queues are told apart by number, for tests of one module share a server.
_numbers = itertools.count(1)


@dataclass
class Place:
    """Where clusters and this process meet: a server, a queue and what they are given."""

    server: LoopbackServer | None
    settings: dict[str, Any]
    django: dict[str, Any] = field(default_factory=dict)
    kind: str = ""  # "redis", "postgres" or "sqlite", where a test has each in turn
    queue: str = field(default_factory=lambda: f"faults {next(_numbers)}")
    started: list[LiveCluster] = field(default_factory=list)

    def start(self, *, wait: bool = True, **options: Any) -> LiveCluster:
        """Start a cluster, with ``options`` over the settings of this place."""
        django = self.django | options.pop("django", {})
        given = QUICK | {"retry": LEASE, "renew": True} | options
        cluster = LiveCluster(queue=self.queue, django=django, **given)
        self.started.append(cluster)
        cluster.start(wait=wait)
        return cluster

    def close(self) -> None:
        for cluster in self.started:
            cluster.close()
