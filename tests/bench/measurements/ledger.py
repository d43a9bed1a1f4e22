"""What the ledger costs a live cluster: the outbox, cancelling, and much that waits in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from machine import Watch

from .base import Figure, Figures, Measurement, Plan, rounded
from .depth import filled
from .idle import nanoseconds
from .latency import quantile
from .rates import FOREIGN, drain

if TYPE_CHECKING:
    from contenders import Contender
    from run import Run

#: Tasks that are cancelled in their run, one after the other.
_CANCELLED = 60
#: Seconds after the first task until nothing of a start is left.
_SETTLE = 5.0
#: Seconds between two tasks that are sent while workers are idle; and for the last of them.
_GAP, _PATIENCE = 0.05, 40.0


def _has_ledger(contender: Contender) -> bool:
    return contender.has_ledger


def _outbox(run: Run, plan: Plan) -> Figures:
    """Drain a full queue, then an outbox with as many tasks that are due."""
    watch = Watch()
    run.fresh()
    run.ask("fill", kind="noop", count=plan.tasks)
    plain = drain(run, plan, plan.tasks)
    run.fresh(filled(run, "fill_outbox", {"count": plan.tasks, "due": 0.0}))
    through = drain(run, plan, plan.tasks)
    first, second = plain["drain"] or 0.0, through["drain"] or 0.0
    return rounded({
        "plain": first,
        "through": second,
        "share": second / first,
        "cpu": (through["cpu"] or 0.0) / (plain["cpu"] or 1.0),
        "lost": through["lost"],
        "twice": through["twice"],
        "foreign": watch.foreign(),
    })  # fmt: skip


def _within(run: Run, plan: Plan) -> Figures:
    """Send tasks inside of a transaction and outside, in turns; see how late they are.

    First to a reader that waits in the broker, then to a cluster. That asks the ledger, before
    it starts a task of the outbox, whether the task has run.
    """
    run.fresh()
    watch = Watch()
    sent = run.ask("seen", count=plan.latencies, gap=_GAP)
    claims = _medians(sent, {int(task): at for task, at in sent.pop("claimed").items()})
    run.fresh()
    run.enqueue(1, base=1_000_000)
    run.start(plan.workers)
    run.wait_started()
    time.sleep(_SETTLE)
    sent = run.ask("within", kind="noop", count=plan.latencies, gap=_GAP)
    run.wait_for(2 * plan.latencies + 3, _PATIENCE)
    foreign = watch.foreign()
    run.stop()
    started: dict[int, float] = {}
    for record in run.ended():
        started.setdefault(record.task, record.start)
    starts = _medians(sent, started)
    return rounded({
        "plain": claims["plain"],
        "commit": claims["commit"],
        "seen": claims["commit"] / claims["plain"],
        "call": claims["call"],
        "starts": starts["plain"],
        "started": starts["commit"] / starts["plain"],
        "lost": claims["lost"] + starts["lost"],
        "foreign": foreign,
    })  # fmt: skip


def _medians(
    sent: dict[str, dict[str, float]], found: dict[int, float]
) -> dict[str, float]:
    """Return the median of the ms from each kind of moment until a task was there."""
    medians: dict[str, float] = {"lost": 0.0}
    for name, moments in sent.items():
        tasks = {int(task): at for task, at in moments.items()}
        waited = sorted(1000 * (found[n] - at) for n, at in tasks.items() if n in found)
        medians[name] = quantile(waited, 0.50) if waited else float("nan")
        if name != "call":  # those are committed, too
            medians["lost"] += len(tasks) - len(waited)
    return medians


def _cancel(run: Run, plan: Plan) -> Figures:
    """Cancel tasks while they run, in a cluster that does nothing else."""
    run.fresh()
    run.enqueue(1, base=1_000_000)
    run.start(plan.workers)
    run.wait_started()
    time.sleep(_SETTLE)
    watch = Watch()
    waited = sorted(
        run.ask("cancel", count=_CANCELLED, patience=plan.patience)["waited"]
    )
    run.stop()
    return rounded({
        "p50": quantile(waited, 0.50),
        "p99": quantile(waited, 0.99),
        "longest": waited[-1],
        "lost": _CANCELLED - len(waited),
        "foreign": watch.foreign(),
    })  # fmt: skip


def _resting(run: Run, plan: Plan) -> Figures:
    """Look what an idle cluster uses, with an empty ledger and with a full one."""
    watch = Watch()
    run.fresh()
    empty = _at_rest(run, plan)
    words = {"count": plan.depth, "due": time.time() + 86400.0}
    run.fresh(filled(run, "fill_ledger", words))
    full = _at_rest(run, plan)
    return rounded({
        "empty": empty[0],
        "full": full[0],
        "more": full[0] - empty[0],
        "server_more": full[1] - empty[1],
        "foreign": watch.foreign(),
    })  # fmt: skip


def _at_rest(run: Run, plan: Plan) -> tuple[float, float]:
    """Return the ms of CPU in a second, of a cluster and of the servers."""
    run.enqueue(1, base=1_000_000)
    run.start(plan.workers)
    run.wait_started()
    time.sleep(_SETTLE)
    began = time.monotonic()
    own, servers = nanoseconds(run.roots), nanoseconds(run.store.pids)
    time.sleep(plan.idle)
    passed = time.monotonic() - began
    own = nanoseconds(run.roots) - own
    servers = nanoseconds(run.store.pids) - servers
    run.tend()
    run.stop()
    return own / 1e6 / passed, servers / 1e6 / passed


OUTBOX = Measurement(
    "outbox",
    "drain a full queue, and an outbox with --tasks that are due at once",
    (
        Figure("plain", "tasks/s of the queue"),
        Figure("through", "tasks/s of the outbox"),
        Figure("share", "of the rate of the queue", 2),
        Figure("cpu", "of the CPU of workers", 2),
        Figure("lost", "tasks"),
        Figure("twice", "tasks"),
        FOREIGN,
    ),
    _outbox,
    _has_ledger,
)
WITHIN = Measurement(
    "within",
    "send tasks inside of a transaction of the database, and as many outside, in turns",
    (
        Figure("plain", "ms until it is claimed, sent outside, p50", 2),
        Figure("commit", "ms from the commit, p50", 2),
        Figure("seen", "commit to plain", 2),
        Figure("call", "ms from the call inside, p50", 2),
        Figure("starts", "ms until it starts in a cluster, sent outside, p50", 2),
        Figure("started", "the same from the commit, as a ratio", 2),
        Figure("lost", "tasks"),
        FOREIGN,
    ),
    _within,
    _has_ledger,
    stores=("redis",),
)
CANCEL = Measurement(
    "cancel",
    f"cancel {_CANCELLED} running tasks, one after the other, and see when they end",
    (
        Figure("p50", "s", 3),
        Figure("p99", "s", 3),
        Figure("longest", "s", 3),
        Figure("lost", "tasks that did not end"),
        FOREIGN,
    ),
    _cancel,
    _has_ledger,
)
RESTING = Measurement(
    "resting",
    "idle beside --depth cancelled tasks and as many that are due in a day",
    (
        Figure("empty", "ms of CPU in a second, without", 2),
        Figure("full", "ms with them", 2),
        Figure("more", "ms more", 2),
        Figure("server_more", "ms more of servers", 2),
        FOREIGN,
    ),
    _resting,
    _has_ledger,
)
