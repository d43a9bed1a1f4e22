"""Runs in a peer's environment: ``ACTION ARGUMENTS``; its last line of output is JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import turn
from contenders import load
from work import Record, read_records

#: Tasks of one batch, as in a view that enqueues for many users.
_BATCH = 1000


def _setup(peer: ModuleType) -> dict[str, Any]:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    if hasattr(peer, "setup"):
        peer.setup()
    return {}


def _enqueue(peer: ModuleType, kind: str, count: int, base: int) -> dict[str, Any]:
    """Enqueue one by one; the first tenth, ten at most, connects and is not timed."""
    warm = min(10, count // 10)
    for task in range(base, base + warm):
        peer.enqueue(kind, task)
    cpu, began = time.process_time(), time.perf_counter()
    for task in range(base + warm, base + count):
        peer.enqueue(kind, task)
    taken, cpu = time.perf_counter() - began, time.process_time() - cpu
    timed = count - warm
    return {"rate": timed / taken, "cpu_us": 1e6 * cpu / timed}


def _batch(peer: ModuleType, kind: str, count: int, base: int) -> dict[str, Any]:
    """Enqueue in batches; the first task connects and is not timed."""
    peer.enqueue(kind, base)
    began = time.perf_counter()
    for first in range(base + 1, base + count, _BATCH):
        peer.enqueue_many(kind, range(first, min(first + _BATCH, base + count)))
    return {"rate": (count - 1) / (time.perf_counter() - began)}


def _paced(peer: ModuleType, kind: str, count: int, gap: float) -> dict[str, Any]:
    """Enqueue a task every ``gap`` seconds, after one that is not counted."""
    peer.enqueue(kind, 0)
    time.sleep(gap)
    sent = {}
    due = time.perf_counter()
    for task in range(1, count + 1):
        sent[task] = time.time()
        peer.enqueue(kind, task)
        due += gap
        time.sleep(max(0.0, due - time.perf_counter()))
    return {"sent": sent}


def _within(peer: ModuleType, kind: str, count: int, gap: float) -> dict[str, Any]:
    """Enqueue as ``_paced`` does, in turns outside and inside of a transaction.

    Returns:
        When each task was called for, and when those inside were committed.
    """
    plain, call, commit = {}, {}, {}
    peer.enqueue(kind, 0)
    peer.enqueue_within(kind, 2 * count + 1)
    time.sleep(gap)
    due = time.perf_counter()
    for task in range(1, 2 * count + 1):
        began = time.time()
        if task % 2:
            plain[task] = began
            peer.enqueue(kind, task)
        else:
            call[task] = began
            commit[task] = peer.enqueue_within(kind, task)
        due += gap
        time.sleep(max(0.0, due - time.perf_counter()))
    return {"plain": plain, "call": call, "commit": commit}


def _seen(peer: ModuleType, count: int, gap: float) -> dict[str, Any]:
    """Do as ``_within`` does, with a reader that waits in the broker, as a cluster does.

    Returns:
        When each task was claimed, and what ``_within`` returns.
    """
    claimed: dict[int, float] = {}
    is_over = threading.Event()
    reader = threading.Thread(target=peer.claim, args=(claimed, is_over))
    reader.start()
    try:
        sent = _within(peer, "noop", count, gap)
        deadline = time.monotonic() + 40.0
        while len(claimed) < 2 * count + 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        is_over.set()
        reader.join()
    return {**sent, "claimed": claimed}


def _stored(peer: ModuleType) -> dict[str, Any]:
    return {"count": peer.stored()}


def _fill_results(peer: ModuleType, count: int) -> dict[str, Any]:
    """Leave as many results as if so many tasks had run."""
    if hasattr(peer, "fill_results"):
        peer.fill_results(count)
        return {}
    _fill(peer, "noop", count)
    peer.finish_all()
    return {}


def _fill_schedules(peer: ModuleType, count: int) -> dict[str, Any]:
    peer.fill_schedules(count)
    return {}


def _make_due(peer: ModuleType, count: int, at: float) -> dict[str, Any]:
    peer.make_due(count, at)
    return {}


def _fill_outbox(peer: ModuleType, count: int, due: float) -> dict[str, Any]:
    peer.fill_outbox(count, due)
    return {}


def _fill_ledger(peer: ModuleType, count: int, due: float) -> dict[str, Any]:
    peer.fill_ledger(count, due)
    return {}


def _cancel(peer: ModuleType, count: int, patience: float) -> dict[str, Any]:
    """Cancel running tasks, each at another moment of a second; return when they ended."""
    waited = []
    for task in range(count):
        id = peer.enqueue_cancellable(task)
        if _record("S", task, patience) is None:
            continue
        time.sleep((task * 0.618) % 1.0)
        asked = time.time()
        peer.cancel(id)
        if (record := _record("E", task, patience)) is not None:
            waited.append(record.end - asked)
    return {"waited": waited}


def _record(mark: str, task: int, patience: float) -> Record | None:
    """Wait for a record of a task."""
    deadline = time.monotonic() + patience
    path = Path(os.environ["BENCH_RECORDS"])
    while time.monotonic() < deadline:
        for record in read_records(path):
            if (record.mark, record.task) == (mark, task):
                return record
        time.sleep(0.005)
    return None


def _fill(peer: ModuleType, kind: str, count: int) -> dict[str, Any]:
    """Enqueue in the way that is quickest."""
    if hasattr(peer, "enqueue_many"):
        return _batch(peer, kind, count, 0)
    return _enqueue(peer, kind, count, 0)


_ACTIONS = {
    "setup": _setup,
    "enqueue": _enqueue,
    "batch": _batch,
    "paced": _paced,
    "within": _within,
    "seen": _seen,
    "stored": _stored,
    "fill": _fill,
    "fill_results": _fill_results,
    "fill_schedules": _fill_schedules,
    "make_due": _make_due,
    "fill_outbox": _fill_outbox,
    "fill_ledger": _fill_ledger,
    "cancel": _cancel,
}


def main() -> None:
    """Do what the arguments say."""
    import django

    django.setup()
    peer = load(turn.current().peer)
    answer = _ACTIONS[sys.argv[1]](peer, **json.loads(sys.argv[2]))
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
