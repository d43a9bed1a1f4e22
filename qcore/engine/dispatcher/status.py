"""Runs in: status, a thread of the dispatcher. Publishes what the cluster does."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

import msgspec

from ...errors import QcoreError
from ...masking import mask_url
from ...signing import BOUND
from ...status import PAUSE, Snapshot
from ..services import Services
from .guard import pause
from .lifecycle import WITH_THE_RECORDER, JobState
from .pool import WorkerPool
from .state import SharedState

logger = logging.getLogger("qcore.status")


class ClusterStatus:
    """What the cluster is doing.

    Args:
        services: what the cluster is made of.
        shared: what the threads share.
        pool: the workers.
        cluster: the cluster's id.
        started: when it was started, seconds since the epoch.
    """

    def __init__(
        self,
        services: Services,
        shared: SharedState,
        pool: WorkerPool,
        *,
        cluster: str,
        started: float,
    ) -> None:
        self._services = services
        self._shared = shared
        self._pool = pool
        self._cluster = cluster
        self._started = started

    def snapshot(self) -> Snapshot:
        """Return what the cluster is doing now."""
        conf, shared = self._services.conf, self._shared
        problems = "; ".join([*shared.problems.values(), *shared.steps.hanging()])
        state = "stopping" if shared.stopping.is_set() else "running"
        if shared.ended.is_set():
            state = "stopped"
        elif state == "running" and problems:
            state = "degraded"
        # not before the last claim has returned, which may wait in the broker for a second
        elif state == "running" and shared.pause and shared.claims_ended.is_set():
            state = "paused"
        return Snapshot(
            cluster=self._cluster,
            name=conf.name,
            queue=conf.queue,
            host=socket.gethostname(),
            version=self._services.version,
            broker=self._services.broker_info(),
            state=state,
            sentinel_pid=os.getppid(),
            dispatcher_pid=os.getpid(),
            started=self._started,
            at=time.time(),
            workers=self._pool.statuses(),
            waiting=shared.count(JobState.READY, JobState.PREFETCHED),
            recording=shared.count(*WITH_THE_RECORDER),
            succeeded=shared.succeeded,
            failed=shared.failed,
            crashed=shared.crashed,
            quarantined=shared.quarantined,
            restarts=shared.restarts,
            problem=problems or None,
            pause=shared.pause,
            reads=BOUND,
        )


class StatusPublisher:
    """Publishes a snapshot in each round that has something new, and a last one.

    While nothing happens the thread sleeps: in an idle cluster a round costs more than
    everything else.

    Args:
        take: takes a snapshot.
        publish: makes it visible until the next one, which comes in so many seconds at
            the latest; may fail, the next round tries again.
        cycle: seconds between two rounds (setting ``guard_cycle``).
        news: set by whoever changes what a snapshot says; ends the sleep.
        rest: called when nothing has happened for a round, once until something does.
    """

    def __init__(
        self,
        take: Callable[[], Snapshot],
        publish: Callable[[Snapshot, float], None],
        cycle: float,
        news: threading.Event,
        rest: Callable[[], None],
    ) -> None:
        self._take = take
        self._publish = publish
        self._cycle = cycle
        self._pause = max(cycle, PAUSE)
        self._news = news
        self._rest = rest
        self._end = threading.Event()
        self._last: Snapshot | None = None  # that was published
        self._failing = False

    def run(self) -> None:
        """Publish until ``close``, and once more."""
        resting = False
        while not self._end.is_set():
            self._news.clear()  # first: what comes in while it is taken is for the next
            if self._once():
                if not resting:
                    self._rest()
                resting = True
                if not pause(self._news, self._pause):
                    continue
            resting = False
            # not at once: the first task after a quiet hour has the processor
            pause(self._end, self._cycle)
        self._once()

    def close(self) -> None:
        """End after a last snapshot."""
        self._end.set()
        self._news.set()

    def _once(self) -> bool:
        """Publish a snapshot; return whether it is the same as in the round before."""
        try:
            snapshot = self._take()
            quiet = self._last is not None and _is_same(snapshot, self._last)
            self._publish(snapshot, self._pause if quiet else self._cycle)
        except BaseException as error:  # noqa: BLE001 - caches raise what their drivers raise
            self._fail(error)
            return False
        self._failing = False
        self._last = snapshot
        return quiet

    def _fail(self, error: BaseException) -> None:
        """Log once, and not in each round, that the status cannot be published."""
        if not self._failing:
            foreseen = isinstance(error, QcoreError)
            kind = "" if foreseen else f"{type(error).__name__}: "
            logger.warning(
                "status is not published: %s%s", kind, mask_url(str(error)),
                exc_info=None if foreseen else error,
            )  # fmt: skip
        self._failing = True
        self._last = None


def _is_same(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots differ in nothing but their time."""
    return msgspec.structs.replace(one, at=other.at) == other
