"""What more workers bring, with tasks that wait for something for 10 ms."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from machine import Watch

from .base import Figure, Figures, Measurement, Plan, rounded
from .rates import FOREIGN

if TYPE_CHECKING:
    from run import Run

WORKERS = (1, 2, 4, 8, 16)
CLUSTERS = (1, 2, 4, 8)
#: Tasks of each worker: three seconds of them.
_EACH = 300
#: Sleeps of the loop that tells how many a worker could do that loses no time.
_SLEEPS = 100


def _scale(run: Run, plan: Plan) -> Figures:
    """Start one cluster with more and more workers."""
    watch, ideal = Watch(), _ideal()
    found: Figures = {f"with{n}": _share(run, plan, n, 1, ideal)[0] for n in WORKERS}
    return rounded({**found, "foreign": watch.foreign()})


def _clusters(run: Run, plan: Plan) -> Figures:
    """Start more and more clusters on one queue."""
    watch, ideal = Watch(), _ideal()
    found: Figures = {}
    twice = 0
    for copies in CLUSTERS:
        share, more = _share(run, plan, plan.workers, copies, ideal)
        found[f"of{copies}"] = share
        twice += more
    return rounded({**found, "twice": twice, "foreign": watch.foreign()})


def _ideal() -> float:
    """Return how often in a second a process sleeps for 10 ms that does nothing else.

    It is not a hundred times: to be woken takes its time, too.
    """
    began = time.perf_counter()
    for _ in range(_SLEEPS):
        time.sleep(0.010)
    return _SLEEPS / (time.perf_counter() - began)


def _share(
    run: Run, plan: Plan, workers: int, copies: int, ideal: float
) -> tuple[float, int]:
    """Return the percentage of the ideal rate, and how many tasks ran twice."""
    tasks = workers * copies * _EACH
    run.fresh()
    run.ask("fill", kind="sleep10", count=tasks)
    run.start(workers, copies=copies)
    run.wait_started()
    run.wait_for(tasks, plan.patience)
    run.stop(grace=0.5)
    records = run.ended()
    rate = _steady(sorted(record.end for record in records))
    twice = len(records) - len({record.task for record in records})
    return 100 * rate / (workers * copies * ideal), twice


def _steady(ends: list[float]) -> float:
    """Return the rate of the middle half: all workers are there, and have work."""
    quarter = len(ends) // 4
    middle = ends[quarter : len(ends) - quarter]
    return (len(middle) - 1) / (middle[-1] - middle[0])


SCALE = Measurement(
    "scale",
    "drain tasks that sleep 10 ms with 1 to 16 workers, beside a loop that sleeps so;"
    " more than 100 % is had by peers that run several at a time in a worker",
    (
        *(Figure(f"with{n}", f"% of ideal, {n} workers", 1) for n in WORKERS),
        FOREIGN,
    ),
    _scale,
)
CLUSTERS_OF_ONE_QUEUE = Measurement(
    "clusters",
    "drain the same tasks with 1 to 8 clusters of --workers on one queue",
    (
        *(Figure(f"of{n}", f"% of ideal, {n} clusters", 1) for n in CLUSTERS),
        Figure("twice", "tasks"),
        FOREIGN,
    ),
    _clusters,
)
