"""How long a fault holds things up, and what is lost by it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from run import PeerFailed
from work import read_records

from .base import Figure, Figures, Measurement, Plan, rounded

if TYPE_CHECKING:
    from run import Run
    from work import Record

#: Seconds that the victim, a task of three, has been running by then.
_MIDDLE = (0.25, 2.5)
#: Tasks of 100 ms that wait when Redis goes, and seconds that it is away.
_SHORT, _AWAY = 400, 2.0
#: Seconds of work before that.
_BEFORE = 1.0


def _killed(run: Run, plan: Plan) -> Figures:
    """SIGKILL the process that runs a task; see when the task starts again.

    There are as many tasks as workers, so that it waits behind no other.
    """
    tasks = plan.workers
    run.fresh()
    run.start(plan.workers, supervised=True)
    run.enqueue(1, base=1_000_000)
    run.wait_started()
    run.enqueue(tasks, "sleep3000")
    victim = _await_victim(run, plan)
    os.kill(victim.pid, signal.SIGKILL)
    at = time.time()
    again = _await_again(run, victim.task, at, plan.patience)
    if again is not None:
        # two marks for each task, one more start of the victim, and that of the first
        run.wait_for(2 * tasks + 2, 20.0)
    ended = [record.task for record in run.ended() if record.task < tasks]
    restarts = run.restarts
    run.stop(grace=0.5)
    return rounded({
        "again": again,
        "unfinished": tasks - len(set(ended)),
        "twice": len(ended) - len(set(ended)),
        "restarts": restarts,
    })  # fmt: skip


def _await_victim(run: Run, plan: Plan) -> Record:
    """Return the start of a task that is in its middle."""
    deadline = time.monotonic() + plan.patience
    while time.monotonic() < deadline:
        records = read_records(run.records)
        ended = {record.task for record in records if record.mark == "E"}
        low, high = _MIDDLE
        for record in records:
            running = record.mark == "S" and record.task not in ended
            if running and low < time.time() - record.start < high:
                return record
        time.sleep(0.02)
    raise PeerFailed(f"{run.contender.name}: no task was seen in its middle")


def _await_again(run: Run, task: int, at: float, seconds: float) -> float | None:
    """Return the seconds until a task has started again; None if it has not."""
    while time.time() < at + seconds:
        run.tend()
        for record in read_records(run.records):
            if record.task == task and record.mark == "S" and record.start > at:
                return record.start - at
        time.sleep(0.02)
    return None


def _restart(run: Run, plan: Plan) -> Figures:
    """End Redis in the middle of a drain, start it again, and see when work goes on."""
    server = run.store.redis
    assert server is not None
    run.fresh()
    run.start(plan.workers, supervised=True)
    run.enqueue(1, base=1_000_000)
    run.wait_started()
    run.ask("fill", kind="sleep100", count=_SHORT)
    time.sleep(_BEFORE)
    server.stop()
    time.sleep(_AWAY)
    server.start()
    at = time.time()
    run.wait_for(2 * _SHORT + 1, plan.patience + 0.1 * _SHORT / plan.workers)
    records = read_records(run.records)
    resumed = [r.start - at for r in records if r.mark == "S" and r.start > at]
    ended = [r.task for r in records if r.mark == "E" and r.task < _SHORT]
    restarts = run.restarts
    run.stop(grace=0.5)
    return rounded({
        "resumed": min(resumed, default=None),
        "unfinished": _SHORT - len(set(ended)),
        "twice": len(ended) - len(set(ended)),
        "restarts": restarts,
    })  # fmt: skip


_LEFT = (
    Figure("unfinished", "tasks when patience ended"),
    Figure("twice", "tasks"),
    Figure("restarts", "by the service manager"),
)
KILLED = Measurement(
    "killed",
    "SIGKILL the process that runs a task of 3 s, settings at their defaults",
    (Figure("again", "s until it starts again", 2), *_LEFT),
    _killed,
)
RESTART = Measurement(
    "restart",
    "end Redis (AOF each second) in the middle of a drain, start it 2 s later",
    (Figure("resumed", "s until work goes on", 2), *_LEFT),
    _restart,
    appendonly=True,
    stores=("redis",),
)
