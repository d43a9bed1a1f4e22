"""Tasks per second: enqueued one by one and in batches, and drained."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from machine import Watch

from qcore.processes import tree

from .base import Figure, Figures, Measurement, Plan, rounded

if TYPE_CHECKING:
    from run import Run

#: Tasks that tell how many a contender can do in the seconds there are.
_PILOT = 300
#: So few that a drain is over before its rate means anything.
_LEAST = 300
#: Times the planned seconds that a drain may take.
_SLACK = 4
#: Seconds at rest until memory is looked at: what a peer gives back, it has by then.
_SETTLE = 2.0


def _drain(run: Run, plan: Plan) -> Figures:
    tasks = _budget(run, plan)
    run.fresh()
    watch = Watch()
    enqueued = run.enqueue(tasks)
    found = drain(run, plan, tasks)
    producer = {"enqueue": enqueued["rate"], "enqueue_us": enqueued["cpu_us"]}
    return rounded({**producer, **found, "foreign": watch.foreign()})


def drain(run: Run, plan: Plan, tasks: int) -> Figures:
    """Start workers on a full queue and watch them until they rest."""
    servers = run.store.pids
    began = run.start(plan.workers)
    run.wait_started()
    cpu, server_cpu = run.cpu(), _cpu(servers)
    seen = len(run.ended())
    done = run.wait_for(tasks, max(30.0, _SLACK * plan.seconds))
    quiet = run.wait_quiet() if done else 0.0
    cpu, server_cpu = run.cpu() - cpu, _cpu(servers) - server_cpu
    if done:
        time.sleep(_SETTLE)
    memory = run.memory()
    stored = run.ask("stored")["count"] if done else None
    run.stop()
    records = run.ended()
    first, last = min(r.start for r in records), max(r.end for r in records)
    ids = {record.task for record in records}
    thousands = (len(records) - seen) / 1000 or 0.001
    return {
        "drain": (len(records) - 1) / (last - first),
        "stored": (len(records) - 1) / (max(last, quiet) - first) if done else None,
        "cpu": cpu / thousands,
        "server_cpu": server_cpu / thousands,
        "memory": memory,
        "first": first - began,
        "kept": stored,
        "tasks": tasks,
        "lost": tasks - len(ids) if done else None,
        "twice": len(records) - len(ids),
    }


def _cpu(pids: list[int]) -> float:
    return sum(process.cpu for process in tree(pids))


_budgets: dict[str, int] = {}


def _budget(run: Run, plan: Plan) -> int:
    """Return how many tasks a contender can drain in time, from a first small drain."""
    if plan.tasks <= _PILOT:
        return plan.tasks
    name = run.contender.name
    if name not in _budgets:
        run.fresh()
        run.enqueue(_PILOT)
        found = drain(run, plan, _PILOT)
        rate = found["stored"] or found["drain"] or 0.0
        _budgets[name] = min(plan.tasks, max(_LEAST, int(rate * plan.seconds)))
    return _budgets[name]


def _batch(run: Run, plan: Plan) -> Figures:
    run.fresh()
    watch = Watch()
    answer = run.ask("batch", kind="noop", count=plan.tasks, base=0)
    return rounded({"batch": answer["rate"], "foreign": watch.foreign()})


FOREIGN = Figure("foreign", "cores used by others", 2)

DRAIN = Measurement(
    "drain",
    "enqueue one by one, then start workers and let them drain the queue",
    (
        Figure("enqueue", "tasks/s", 0, compared=True),
        Figure("enqueue_us", "µs of CPU", compared=True),
        Figure("drain", "tasks/s", 0, compared=True),
        Figure("stored", "tasks/s until all is stored", 0, compared=True),
        Figure("cpu", "s of workers per 1000", 3, compared=True),
        Figure("server_cpu", "s of servers per 1000", 3, compared=True),
        Figure("memory", "MiB, PSS, afterwards", compared=True),
        Figure("first", "s, start to first task", 2, compared=True),
        Figure("kept", "results"),
        Figure("lost", "tasks"),
        Figure("twice", "tasks"),
        FOREIGN,
    ),
    _drain,
)
BATCH = Measurement(
    "batch",
    "enqueue in batches of 1000, where the peer has a call for it",
    (Figure("batch", "tasks/s", 0, compared=True), FOREIGN),
    _batch,
    lambda contender: contender.has_batches,
)
