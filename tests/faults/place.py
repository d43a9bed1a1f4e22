"""Where the clusters of a test of faults and the test itself meet."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from live_fixtures import QUICK

from qcore.testing.cluster import LiveCluster
from qcore.testing.speed import stretched

if TYPE_CHECKING:
    from servers.base import LoopbackServer

#: Seconds: a lease that no test waits for, and that no busy machine loses.
LONG = 30.0
#: Seconds: a lease that is to end in a test, on a calm machine and on any. Three renewals
#: may fail in it, so a slow machine needs a longer one; one that ends within the
#: patience of those who wait for it.
SHORT, LONGEST_SHORT = 3.0, 8.0

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
    #: Seconds: the lease of a test in which one ends; ``start(retry=place.lease)``.
    lease: float = field(default_factory=lambda: min(stretched(SHORT), LONGEST_SHORT))

    def start(self, *, wait: bool = True, **options: Any) -> LiveCluster:
        """Start a cluster, with ``options`` over the settings of this place.

        No lease ends in it, unless a test gives it a short one.
        """
        django = self.django | options.pop("django", {})
        given = QUICK | {"retry": LONG, "renew": True} | options
        cluster = LiveCluster(queue=self.queue, django=django, **given)
        self.started.append(cluster)
        cluster.start(wait=wait)
        return cluster

    def close(self) -> None:
        for cluster in self.started:
            cluster.close()
