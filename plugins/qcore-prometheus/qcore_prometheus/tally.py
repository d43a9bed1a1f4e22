"""The tally: how attempts have ended since the dispatcher started, and how long they took.

The library's own counters take a lock for each observation: 3 of the 100 µs that a task
costs. A batch of results takes one lock here, and a search in a list for each histogram.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from .functions import Functions

if TYPE_CHECKING:
    from qcore import Result

#: Upper ends of the buckets, seconds: from a task that only reckons to one of an hour.
RUN = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
#: The same for the time from the call to the start: up to a day behind.
WAIT = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 86_400.0)


class Histogram:
    """How often a time fell into each bucket, and the sum of all times."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one time; clocks that disagree may give a negative one, which is 0."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return (upper end, how many up to it), as the text format wants them."""
        found: list[tuple[str, float]] = []
        count = 0
        for bound, more in zip((*self.bounds, float("inf")), self.counts, strict=True):
            count += more
            found.append(("+Inf" if bound == float("inf") else f"{bound:g}", count))
        return found


class Tally:
    """What has ended in one queue.

    The recorder adds; the thread of the exporter reads.

    Args:
        queue: of the cluster.
        functions: chooses labels.
    """

    def __init__(self, queue: str, functions: Functions) -> None:
        self._queue = queue
        self._functions = functions
        self._lock = Lock()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._runs: dict[str, Histogram] = {}
        self._wait = Histogram(WAIT)

    def add(self, results: Sequence[Result]) -> None:
        """Count the results of a batch."""
        with self._lock:
            for result in results:
                task = result.task
                function = self._functions.label(task.func)
                key = (function, str(result.outcome))
                self._attempts[key] += 1
                if result.final:
                    self._ended[key] += 1
                run = self._runs.get(function)
                if run is None:
                    run = self._runs[function] = Histogram(RUN)
                run.add(result.stopped - result.started)
                if result.attempt == 1:
                    self._wait.add(result.started - task.created)

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics, all of one moment."""
        with self._lock:
            found = list(self._collect())
        yield from found

    def _collect(self) -> Iterator[Metric]:
        labels = ["queue", "function", "outcome"]
        attempts = CounterMetricFamily(
            "qcore_attempts", "Attempts that have ended.", labels=labels
        )
        for (function, outcome), count in self._attempts.items():
            attempts.add_metric([self._queue, function, outcome], count)
        yield attempts
        ended = CounterMetricFamily(
            "qcore_tasks_ended", "Tasks that are not tried again.", labels=labels
        )
        for (function, outcome), count in self._ended.items():
            ended.add_metric([self._queue, function, outcome], count)
        yield ended
        runs = HistogramMetricFamily(
            "qcore_run_seconds",
            "Seconds that an attempt ran.",
            labels=["queue", "function"],
        )
        for function, run in self._runs.items():
            runs.add_metric([self._queue, function], run.buckets(), run.total)
        yield runs
        wait = HistogramMetricFamily(
            "qcore_wait_seconds",
            "Seconds from the call until the first attempt began, a delay included.",
            labels=["queue"],
        )
        wait.add_metric([self._queue], self._wait.buckets(), self._wait.total)
        yield wait
