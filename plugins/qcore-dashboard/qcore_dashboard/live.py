"""What is going on now: clusters, queues and their pauses, each asked once for a page."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qcore import status
from qcore.monitor.look import absence
from qcore.runtime import current

from .problems import Problems

if TYPE_CHECKING:
    from qcore.status import Pause, Snapshot

#: Queues that a page asks the broker about.
MOST_QUEUES = 20


@dataclass(frozen=True, slots=True)
class Now:
    """What one page has found out."""

    clusters: list[Snapshot] | None
    """Those that run; None where nobody can tell."""
    route: str
    """How the status comes here: "cache", "broker" or "none"."""
    paused: dict[str, Pause] | None
    """Pauses by queue; None where there is no ledger, or it cannot be asked."""
    problems: Problems = field(default_factory=Problems)

    @property
    def absence(self) -> str:
        """Return what to say where no cluster is seen."""
        return absence(self.route)

    def busy(self, queue: str | None = None) -> tuple[int, int] | None:
        """Return how many workers are busy, and how many there are; None: not known."""
        if self.clusters is None:
            return None
        workers = [
            worker
            for cluster in self.clusters
            if queue is None or cluster.queue == queue
            for worker in cluster.workers
        ]
        return sum(worker.task_id is not None for worker in workers), len(workers)

    def queues(self) -> list[str]:
        """Return the queues that are known: of the settings, of clusters, paused ones."""
        names = {current.conf.queue, *current.conf.queues}
        names |= {one.queue for one in self.clusters or ()}
        names |= set(self.paused or ())
        own = current.conf.queue
        return sorted(names, key=lambda name: (name != own, name))


def look(problems: Problems | None = None) -> Now:
    """Ask the status and the ledger."""
    problems = Problems() if problems is None else problems
    way = problems.attempt(status.route) or "none"
    clusters = problems.attempt(status.running) if way != "none" else None
    return Now(clusters, way, problems.attempt(_paused), problems)


def _paused() -> dict[str, Pause] | None:
    control = current.control
    if control is None:
        return None
    return {pause.queue: pause for pause in control.paused()}


def sizes(queue: str, problems: Problems) -> dict[str, Any]:
    """Return what waits in a queue; None for each number that is not known."""

    def ask() -> tuple[int | None, int | None, float | None]:
        broker = current.broker(queue)
        waiting, claimed = broker.sizes()
        # a queue without a waiting package has no oldest one
        return waiting, claimed, broker.oldest_waiting() if waiting != 0 else None

    waiting, claimed, oldest = problems.attempt(ask) or (None, None, None)
    return {"waiting": waiting, "claimed": claimed, "oldest_seconds": oldest}


def pause_of(pause: Pause | None) -> dict[str, Any] | None:
    """Return a pause in types of JSON, without secrets."""
    from qcore.masking import mask_url

    if pause is None:
        return None
    return {
        "at": pause.at,
        "by": pause.by,
        "reason": mask_url(pause.reason),
        "seconds": max(0.0, time.time() - pause.at),
    }
