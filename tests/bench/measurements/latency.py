"""From the call to the start of the task, when nothing else is to be done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from machine import Watch

from .base import Figure, Figures, Measurement, Plan, rounded
from .rates import FOREIGN

if TYPE_CHECKING:
    from run import Run

#: Seconds between two tasks: longer than any of the faster peers takes for one.
_GAP = 0.05
#: Seconds after the first task until a tree has settled.
_SETTLE = 2.0
#: Seconds for the last of the tasks.
_PATIENCE = 15.0


def _latency(run: Run, plan: Plan) -> Figures:
    run.fresh()
    run.enqueue(1, base=1_000_000)
    began = run.start(plan.workers)
    run.wait_started()
    first = run.ended()[0].start - began
    time.sleep(_SETTLE)
    memory = run.memory()
    watch = Watch()
    sent = run.ask("paced", kind="noop", count=plan.latencies, gap=_GAP)["sent"]
    run.wait_for(plan.latencies + 2, _PATIENCE)
    foreign = watch.foreign()
    run.stop()
    started: dict[int, float] = {}
    for record in run.ended():
        started.setdefault(record.task, record.start)
    waited = sorted(
        1000 * (started[int(task)] - at)
        for task, at in sent.items()
        if int(task) in started
    )
    if not waited:
        return {"lost": len(sent), "foreign": foreign}
    return rounded({
        "p50": quantile(waited, 0.50),
        "p95": quantile(waited, 0.95),
        "p99": quantile(waited, 0.99),
        "idle_memory": memory,
        "first": first,
        "lost": len(sent) - len(waited),
        "foreign": foreign,
    })  # fmt: skip


def quantile(ordered: list[float], share: float) -> float:
    """Return the value that this share of sorted values reaches at most."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


LATENCY = Measurement(
    "latency",
    "enqueue a task every 50 ms while workers are idle",
    (
        Figure("p50", "ms", 2, compared=True),
        Figure("p95", "ms", 2, compared=True),
        Figure("p99", "ms", 2, compared=True),
        Figure("idle_memory", "MiB, PSS", compared=True),
        Figure("first", "s, start to first task", 2, compared=True),
        Figure("lost", "tasks"),
        FOREIGN,
    ),
    _latency,
)
