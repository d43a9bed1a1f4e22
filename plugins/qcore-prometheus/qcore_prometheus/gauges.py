"""Gauges: what clusters do now, from their snapshots, and what waits in their queue.

A number that cannot be known is left out. A 0 would say that all is well.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from qcore.errors import QcoreError
from qcore.runtime import current

if TYPE_CHECKING:
    from qcore.status import Snapshot, WorkerStatus

logger = logging.getLogger("qcore.prometheus")

_LABELS = ["queue", "host", "cluster"]
_KB = 1024


def of_clusters(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    """Yield what each cluster does, by its snapshot."""
    found = list(snapshots)

    def gauge(name: str, text: str, further: Iterable[str] = ()) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"qcore_{name}", text, labels=[*_LABELS, *further])

    workers = gauge("workers", "Worker processes by what they do.", ["state"])
    slots = gauge("slots", "Tasks that the cluster can run at once.")
    claimed = gauge("claimed", "Tasks that the cluster has claimed and not begun.")
    recording = gauge("recording", "Tasks that have ended and are not stored yet.")
    problem = gauge("problem", "1 while something keeps the cluster from working.")
    memory = gauge("worker_memory_bytes", "Resident memory of all workers together.")
    started = gauge(
        "start_time_seconds", "When the cluster was started, epoch seconds."
    )
    taken = gauge("snapshot_time_seconds", "When these numbers were taken.")
    restarts = CounterMetricFamily(
        "qcore_restarts", "Processes that the cluster has replaced.", labels=_LABELS
    )
    quarantined = CounterMetricFamily(
        "qcore_quarantined", "Packages put into quarantine.", labels=_LABELS
    )
    for one in found:
        labels = [one.queue, one.host, one.cluster[:8]]
        for state, count in Counter(worker.state for worker in one.workers).items():
            workers.add_metric([*labels, state], count)
        slots.add_metric(labels, len(one.workers))
        claimed.add_metric(labels, one.waiting)
        recording.add_metric(labels, one.recording)
        problem.add_metric(labels, one.problem is not None)
        if (used := _memory(one.workers)) is not None:
            memory.add_metric(labels, used)
        started.add_metric(labels, one.started)
        taken.add_metric(labels, one.at)
        restarts.add_metric(labels, one.restarts)
        quarantined.add_metric(labels, one.quarantined)
    yield from (workers, slots, claimed, recording, problem, memory, started, taken)
    yield from (restarts, quarantined)


def of_queue(queue: str, snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    """Yield what waits in a queue, and the signal to scale by.

    Args:
        queue: its name.
        snapshots: of clusters; those of other queues are left out.
    """
    waiting, claimed, oldest = _counts(queue)
    labels = ["queue"]
    if waiting is not None:
        yield _one(
            "qcore_queue_waiting", "Tasks that no cluster has claimed.", waiting, queue
        )
    if claimed is not None:
        yield _one(
            "qcore_queue_claimed", "Tasks that clusters have claimed.", claimed, queue
        )
    if oldest is not None:
        yield _one(
            "qcore_queue_oldest_seconds",
            "For how long the oldest task has waited, seconds.",
            oldest, queue,
        )  # fmt: skip
    mine = [one for one in snapshots if one.queue == queue]
    slots = sum(len(one.workers) for one in mine)
    if waiting is None or not slots:
        return
    running = sum(worker.task_id is not None for one in mine for worker in one.workers)
    ahead = sum(one.waiting for one in mine)
    load = GaugeMetricFamily(
        "qcore_queue_load",
        "Tasks that wait or run for each slot of these clusters; scale by it.",
        labels=labels,
    )
    load.add_metric([queue], (waiting + ahead + running) / slots)
    yield load


def _one(name: str, text: str, value: float, queue: str) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=["queue"])
    gauge.add_metric([queue], value)
    return gauge


def _counts(queue: str) -> tuple[int | None, int | None, float | None]:
    """Return how many tasks wait, how many are claimed, and the age of the oldest one."""
    try:
        broker = current.broker(queue)
        waiting, claimed = broker.sizes()
        return waiting, claimed, broker.oldest_waiting()
    except QcoreError as error:
        logger.debug("the queue %s cannot be counted: %s", queue, error)
        return None, None, None


def _memory(workers: Iterable[WorkerStatus]) -> int | None:
    known = [worker.rss for worker in workers if worker.rss is not None]
    return sum(known) * _KB if known else None
