"""How late schedules run when there are many, and what they cost while none is due."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from machine import Watch

from .base import Figure, Figures, Measurement, Plan, rounded
from .depth import filled
from .idle import nanoseconds
from .rates import FOREIGN

if TYPE_CHECKING:
    from run import Run

#: Schedules that are due at one moment.
_DUE = 1000
#: Seconds until then, in which they are written to the table.
_AHEAD = 3.0
#: Seconds in which nothing is due.
_IDLE = 10.0
#: Seconds after the first task until nothing of a start is left.
_SETTLE = 3.0


def _schedules(run: Run, plan: Plan) -> Figures:
    run.fresh(filled(run, "fill_schedules", {"count": plan.depth}))
    run.enqueue(1, base=-1)
    run.start(plan.workers)
    run.wait_started()
    time.sleep(_SETTLE)
    watch, began = Watch(), time.monotonic()
    used = nanoseconds([*run.roots, *run.store.pids])
    time.sleep(_IDLE)
    used = nanoseconds([*run.roots, *run.store.pids]) - used
    idle = used / 1e6 / (time.monotonic() - began)
    due = time.time() + _AHEAD
    run.ask("make_due", count=min(_DUE, plan.depth), at=due)
    written = time.time()
    run.wait_for(1 + min(_DUE, plan.depth), plan.patience)
    run.stop()
    # what was due before it was written is late for that reason
    late = sorted(r.start - max(due, written) for r in run.ended() if r.task >= 0)
    return rounded({
        "none_due": idle,
        "first": 1000 * late[0],
        "half": 1000 * median(late),
        "last": 1000 * late[-1],
        "fired": float(len(late)),
        "foreign": watch.foreign(),
    })  # fmt: skip


SCHEDULES = Measurement(
    "schedules",
    f"fire {_DUE} of --depth schedules that are due at one moment",
    (
        Figure("none_due", "ms of CPU of it and the servers in a second", 2),
        Figure("first", "ms late, of those due at once"),
        Figure("half", "ms late, at most"),
        Figure("last", "ms late"),
        Figure("fired", "tasks"),
        FOREIGN,
    ),
    _schedules,
    lambda contender: contender.has_schedules,
)
