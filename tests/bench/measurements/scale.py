"""What more workers bring, with tasks that wait for something for 10 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import Watch

from .base import Figure, Figures, Measurement, Plan, rounded
from .rates import FOREIGN

if TYPE_CHECKING:
    from run import Run

WORKERS = (1, 2, 4, 8, 16)
#: Tasks of each worker: three seconds of them.
_EACH = 300
#: Tasks per second of a worker that loses no time.
_IDEAL = 100


def _scale(run: Run, plan: Plan) -> Figures:
    watch = Watch()
    found: Figures = {}
    for workers in WORKERS:
        run.fresh()
        run.ask("fill", kind="sleep10", count=workers * _EACH)
        run.start(workers)
        run.wait_started()
        run.wait_for(workers * _EACH, plan.patience)
        run.stop(grace=0.5)
        rate = _steady(sorted(record.end for record in run.ended()))
        found[f"with{workers}"] = 100 * rate / (workers * _IDEAL)
    return rounded({**found, "foreign": watch.foreign()})


def _steady(ends: list[float]) -> float:
    """Return the rate of the middle half: all workers are there, and have work."""
    quarter = len(ends) // 4
    middle = ends[quarter : len(ends) - quarter]
    return (len(middle) - 1) / (middle[-1] - middle[0])


SCALE = Measurement(
    "scale",
    "drain tasks that sleep 10 ms with 1 to 16 workers; more than 100 % is had by"
    " peers that run several at a time in a worker",
    (
        *(Figure(f"with{n}", f"% of ideal, {n} workers", 1) for n in WORKERS),
        FOREIGN,
    ),
    _scale,
)
