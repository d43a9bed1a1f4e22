"""What workers use while nothing is to be done."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from machine import Watch

from qcore.processes import tree

from .base import Figure, Figures, Measurement, Plan, rounded
from .rates import FOREIGN

if TYPE_CHECKING:
    from run import Run

#: Seconds after the first task until nothing of a start is left.
_SETTLE = 5.0


def _idle(run: Run, plan: Plan) -> Figures:
    run.fresh()
    run.enqueue(1)
    run.start(plan.workers)
    run.wait_started()
    time.sleep(_SETTLE)
    watch, began = Watch(), time.monotonic()
    own, servers = nanoseconds(run.roots), nanoseconds(run.store.pids)
    time.sleep(plan.idle)
    passed = time.monotonic() - began
    own = nanoseconds(run.roots) - own
    servers = nanoseconds(run.store.pids) - servers
    figures = {
        "idle": own / 1e6 / passed,
        "server_idle": servers / 1e6 / passed,
        "idle_memory": run.memory(),
        "processes": float(len(tree(run.roots))),
        "foreign": watch.foreign(),
    }
    run.tend()
    run.stop()
    return rounded(figures)


def nanoseconds(roots: list[int]) -> int:
    """Return the CPU time of every thread of a tree.

    The usual clock ticks a hundred times a second, which is more than some of them use.
    """
    total = 0
    for process in tree(roots):
        for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            try:
                total += int(path.read_text().split()[0])
            except OSError:
                continue  # the thread has ended
    return total


IDLE = Measurement(
    "idle",
    "run one task, and look how much CPU it takes to wait for the next",
    (
        Figure("idle", "ms of CPU in a second", 2, compared=True),
        Figure("server_idle", "ms of servers in a second", 2),
        Figure("idle_memory", "MiB, PSS", compared=True),
        Figure("processes", "of its tree"),
        FOREIGN,
    ),
    _idle,
)
