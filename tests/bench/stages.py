"""Where the time of one task goes: each step of its walk by itself, without the waiting.

Queue and results are in one PostgreSQL, or the queue in Redis; both are on this machine.
A figure is the best of several rounds: what else the machine does only ever adds.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from stores import Store

#: Tasks in a batch, where a step is one call for many.
BATCH = 100


class Stage(NamedTuple):
    """One step, and what it costs each task."""

    where: str
    what: str
    microseconds: float


def render(rounds: int) -> Iterator[str]:
    """Yield the table, for a terminal and for the manual alike."""
    from stores import open_store

    with tempfile.TemporaryDirectory(prefix="qcore-bench-") as name:
        Path(name).chmod(0o755)  # for the user that PostgreSQL runs as
        with open_store("redis", Path(name)) as store:
            _configure(store)
            yield "| where | step | µs for each task |"
            yield "| --- | --- | ---: |"
            for stage in _stages(store.redis.url(), max(5, rounds)):  # type: ignore[union-attr]
                yield f"| {stage.where} | {stage.what} | {stage.microseconds:.1f} |"


def _configure(store: Store) -> None:
    """Be a project whose database is that PostgreSQL."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    os.environ["BENCH_RECORDS"] = str(store.folder / "records")
    assert store.postgres is not None
    settings.configure(
        SECRET_KEY="bench",
        LOGGING={"version": 1, "loggers": {"qcore": {"level": "ERROR"}}},
        USE_TZ=True,
        DATABASES={"default": store.postgres.database()},
        INSTALLED_APPS=["django.contrib.contenttypes", "qcore", "qcore_orm"],
        Q_CLUSTER={"name": "bench", "orm": "default", "save_limit": 0},
    )
    django.setup()
    call_command("migrate", verbosity=0)


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
    yield from _caller(rounds)
    yield from _services(redis, rounds)
    yield from _dispatcher(rounds)
    yield from _worker(rounds)
    yield from _results(rounds)


def _caller(rounds: int) -> Iterator[Stage]:
    from qcore.current import current
    from qcore.tasks.calls import build

    task = build("work.noop", (5,))
    yield Stage("caller", "build", _best(lambda: build("work.noop", (5,)), rounds))
    yield Stage("caller", "sign", _best(lambda: current.signer.sign(task), rounds))


def _services(redis: str, rounds: int) -> Iterator[Stage]:
    from qcore.conf import Conf
    from qcore.current import current
    from qcore.tasks.calls import build
    from qcore_orm.broker import OrmBroker
    from qcore_redis.broker import RedisBroker

    package = current.signer.sign(build("work.noop", (5,)))
    brokers = {
        "Redis": RedisBroker(Conf(redis=redis)),
        "PostgreSQL": OrmBroker(Conf(orm="default")),
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


def _dispatcher(rounds: int) -> Iterator[Stage]:
    from qcore.current import current
    from qcore.engine.messages import pack_run
    from qcore.tasks.calls import build

    task = build("work.noop", (5,))
    package = current.signer.sign(task)
    verify = _best(lambda: current.signer.verify(package, task.queue), rounds)
    yield Stage("dispatcher", "verify", verify)
    yield Stage(
        "dispatcher", "pack an order", _best(lambda: pack_run(package, 1, 1), rounds)
    )


def _worker(rounds: int) -> Iterator[Stage]:
    from django.db import connection

    from qcore import connections
    from qcore.current import current
    from qcore.engine.fitness import Fitness
    from qcore.engine.messages import Reply, pack_reply, pack_run, unpack_order
    from qcore.signing import peek
    from qcore.tasks.calls import build
    from qcore.tasks.execution import execute

    task = build("work.noop", (5,))
    order = pack_run(current.signer.sign(task), 1, 1)
    read = _best(lambda: peek(unpack_order(order).package), rounds)
    yield Stage("worker", "read the order", read)
    run = _best(lambda: execute(task, 1, "host:1"), rounds)
    yield Stage("worker", "run it (the task writes a line)", run)
    connection.ensure_connection()
    tidy, fitness = connections.Tidy(), Fitness(5.0)
    look = _best(lambda: (fitness.after(task, None), tidy.after(task)), rounds)
    yield Stage("worker", "look at what it left", look)
    reply = Reply(execute(task, 1, "host:1")[0], 1, 0)
    yield Stage("worker", "pack the reply", _best(lambda: pack_reply(reply), rounds))


def _results(rounds: int) -> Iterator[Stage]:
    from qcore.current import current
    from qcore.engine.messages import Reply, pack_reply, unpack_reply
    from qcore.envelope import Result
    from qcore.tasks.calls import build
    from qcore.tasks.execution import execute

    def results() -> list[Result]:
        tasks = [build("work.noop", (n,)) for n in range(BATCH)]
        ended, _ = execute(tasks[0], 1, "host:1")
        return [ended.result(task, 1) for task in tasks]

    frame = pack_reply(Reply(execute(results()[0].task, 1, "host:1")[0], 1, 0))
    yield Stage(
        "dispatcher", "read the reply", _best(lambda: unpack_reply(frame), rounds)
    )
    store = current.store(False)
    batches = [results() for _ in range(rounds)]
    save = min(_best(lambda b=batch: store.save(b), 1, times=1) for batch in batches)
    yield Stage("PostgreSQL", f"store {BATCH} results at a time", save / BATCH)
