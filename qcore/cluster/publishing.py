"""Publishing: a snapshot goes to a file, to observers and to other processes."""

from __future__ import annotations

import logging
import time

from .. import health
from ..health import Health
from ..runtime import current
from ..status import Snapshot, lifetime, publish

logger = logging.getLogger("qcore.status")


class Publishing:
    """Writes each snapshot into the file of this cluster, tells observers, publishes it.

    The file comes first (see ``health``): a cluster that cannot reach its cache or its
    broker is there all the same, and a probe must see that.
    """

    def __init__(self) -> None:
        self._is_refused = False  # and that has been told

    def __call__(self, snapshot: Snapshot, pause: float) -> None:
        """Write and publish one snapshot, and tell observers of it.

        Args:
            snapshot: of this cluster.
            pause: seconds in which the next one comes at the latest.

        Raises:
            BrokerError, StoreError: it could not be published now.
        """
        try:
            health.write(_health_of(snapshot, pause))
        except OSError as error:
            if not self._is_refused:
                logger.warning(
                    "qcore health cannot see this cluster: %s. Set %s to a folder that"
                    " the cluster can write to.",
                    error, health.VARIABLE,
                )  # fmt: skip
            self._is_refused = True
        current.registry.notify("qcore_snapshot_taken", snapshot=snapshot)
        publish(snapshot, pause)


def responds(sentinel_pid: int) -> bool:
    """Return whether the dispatcher of a cluster still says something.

    A cluster that cannot write its file is taken to respond.
    """
    word = health.last_word(sentinel_pid)
    return word is None or word.age <= health.HUNG


def _health_of(snapshot: Snapshot, pause: float) -> Health:
    started = [worker for worker in snapshot.workers if worker.state != "starting"]
    return Health(
        name=snapshot.name,
        queue=snapshot.queue,
        sentinel_pid=snapshot.sentinel_pid,
        dispatcher_pid=snapshot.dispatcher_pid,
        state=snapshot.state,
        problem=snapshot.problem,
        workers=len(snapshot.workers),
        ready=len(started),
        started=snapshot.started,
        written=time.monotonic(),
        lifetime=lifetime(pause),
    )
