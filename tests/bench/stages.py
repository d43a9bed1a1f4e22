"""Where the time of one task goes: each step of its walk by itself, without the waiting.

Queue and results are in one PostgreSQL, or the queue in Redis; both are on this machine.
A figure is the best of several rounds: what else the machine does only ever adds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from steps import FUNC, set_up, steps

#: Tasks in a batch, where a step is one call for many.
BATCH = 100


class Stage(NamedTuple):
    """One step, and what it costs each task."""

    where: str
    what: str
    microseconds: float


def render(rounds: int) -> list[str]:
    """Return the lines of a table, for a terminal and for the manual alike."""
    from stores import open_store

    from qcore.bench.writer import Table, as_markdown

    with tempfile.TemporaryDirectory(prefix="qcore-bench-") as name:
        Path(name).chmod(0o755)  # for the user that PostgreSQL runs as
        with open_store("redis", Path(name)) as store:
            assert store.postgres is not None
            set_up(store.folder, store.postgres.database())
            stages = _stages(store.redis.url(), max(5, rounds))  # type: ignore[union-attr]
            rows = [(s.where, s.what, f"{s.microseconds:.1f}") for s in stages]
    heading = ["where", "step", "µs for each task"]
    return as_markdown([Table(heading, rows, right={2})])


def _best(work: Callable[[], Any], rounds: int, *, times: int = 100) -> float:
    """Return the microseconds of one call, in the best of the rounds."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(times):
            work()
        best = min(best, time.perf_counter() - started)
    return 1e6 * best / times


def _stages(redis: str, rounds: int) -> Iterator[Stage]:
    for step in steps():
        yield Stage(step.where, step.what, _best(step.work, rounds))
    yield from _services(redis, rounds)
    yield from _results(rounds)


def _services(redis: str, rounds: int) -> Iterator[Stage]:
    from qcore.conf import Conf
    from qcore.runtime import current
    from qcore.tasks.calls import build
    from qcore_orm.broker import OrmBroker
    from qcore_redis.broker import RedisBroker

    package = current.signer.sign(build(FUNC, (5,)))
    brokers = {
        "Redis": RedisBroker(Conf(options={"redis": redis})),
        "PostgreSQL": OrmBroker(Conf(options={"orm": "default"})),
    }
    for name, broker in brokers.items():
        one = _best(lambda b=broker: b.enqueue(package), rounds, times=50)
        yield Stage(name, "enqueue one by one", one)
        many = _best(
            lambda b=broker: b.enqueue_many([package] * BATCH), rounds, times=5
        )
        yield Stage(name, f"enqueue {BATCH} at a time", many / BATCH)
        yield from _claims(name, broker)
        broker.purge_queue()
        broker.close()


def _claims(name: str, broker: Any) -> Iterator[Stage]:
    """Claim and acknowledge what has just been sent."""
    claims, ends = [], []
    for _ in range(5):
        found: list[Any] = []
        claims.append(
            _best(lambda f=found: f.extend(broker.dequeue(BATCH)), 1, times=1)
        )
        receipts = [delivery.receipt for delivery in found]
        ends.append(_best(lambda r=receipts: broker.acknowledge_many(r), 1, times=1))
    yield Stage(name, f"claim {BATCH} at a time", min(claims) / BATCH)
    yield Stage(name, f"acknowledge {BATCH} at a time", min(ends) / BATCH)


def _results(rounds: int) -> Iterator[Stage]:
    from qcore.envelope import Result
    from qcore.runtime import current
    from qcore.tasks.calls import build
    from qcore.tasks.execute import execute

    def results() -> list[Result]:
        tasks = [build(FUNC, (n,)) for n in range(BATCH)]
        ended, _ = execute(tasks[0], 1, "host:1")
        return [ended.result(task, 1) for task in tasks]

    store = current.store(False)
    batches = [results() for _ in range(rounds)]
    save = min(_best(lambda b=batch: store.save(b), 1, times=1) for batch in batches)
    yield Stage("PostgreSQL", f"store {BATCH} results at a time", save / BATCH)
