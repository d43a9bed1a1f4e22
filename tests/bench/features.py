"""What the features of a task cost: outbox, retries, batches, limits, graphs, steps.

Each kind of task takes the walk of a plain one (``walk``), in hundreds, on SQLite in memory.
valgrind counts what all of it executes, from the call of the sender to the acknowledgement.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from instructions import count, fork
from walk import BATCH, Walk

#: Walks of the two forks whose difference is counted.
_FEW, _MANY = 1, 2


class Kind(NamedTuple):
    """One kind of task."""

    what: str
    send: Callable[[int], object]
    most: float | None = None
    """What it is to cost at most, as a ratio to a plain task; None: nobody has said."""
    runs: int = 1
    """Attempts of each task. What is compared are those after the first one."""
    apart: bool = False
    """Whether the queue is in another database than the ledger, as with other brokers."""

    @property
    def base(self) -> str:
        """The plain task that it is compared with."""
        return "plain apart" if self.apart else "plain"


def render() -> list[str]:
    """Return the lines of a table.

    Raises:
        LookupError: valgrind is not installed.
        subprocess.CalledProcessError: it failed; what it wrote is on stderr.
    """
    from qcore.bench.writer import Table, as_markdown

    found = {pair.words[0]: pair for pair in count(__file__)}
    tasks = BATCH * (_MANY - _FEW)
    rows = []
    for name, kind in KINDS.items():
        _, sending, walking = found[name].words
        plain = found[kind.base].more
        cost = found[name].more
        if kind.runs > 1:
            cost = (cost - plain) // (kind.runs - 1)
        most = f"{kind.most:g}" if kind.most else ""
        each = [f"{cost / tasks:,.0f}", f"{cost / plain:.2f}", most, sending, walking]
        rows.append([kind.what, *each])
    heading = ["task", "instructions", "ratio", "at most", "sending", "the walk"]
    return as_markdown([Table(heading, rows, right={1, 2, 3, 4, 5})])


def _plain(number: int) -> None:
    from qcore.tasks import async_task_many

    async_task_many("work.noop", [(n,) for n in range(BATCH)])


def _outbox(number: int) -> None:
    from django.db import transaction

    with transaction.atomic():
        _plain(number)


def _retried(number: int) -> None:
    from qcore.tasks import async_task_many

    async_task_many("stepping.again", [(n,) for n in range(BATCH)])


def _member(number: int) -> None:
    from qcore_flows import Batch

    with Batch("bench") as batch:
        batch.add_many("work.noop", [(n,) for n in range(BATCH)])


def _limited(number: int) -> None:
    from qcore.tasks import async_task_many

    async_task_many(
        "work.noop", [(n,) for n in range(BATCH)], q_options={"limits": "wide"}
    )


def _rated(number: int) -> None:
    from qcore.tasks import async_task_many

    async_task_many(
        "work.noop", [(n,) for n in range(BATCH)], q_options={"limits": "fast"}
    )


def _unique(number: int) -> None:
    from qcore.tasks import async_task_many

    calls = [(BATCH * number + n,) for n in range(BATCH)]
    async_task_many("work.noop", calls, q_options={"unique": True})


def _tracked(number: int) -> None:
    from qcore.tasks import async_task_many

    async_task_many(
        "work.noop", [(n,) for n in range(BATCH)], q_options={"track": True}
    )


def _urgent(number: int) -> None:
    from qcore.tasks import async_task_many

    async_task_many(
        "work.noop", [(n,) for n in range(BATCH)], q_options={"priority": 5}
    )


def _node(number: int) -> None:
    from qcore_flows import Flow

    with Flow("bench") as flow:
        parents = [flow.add("work.noop", n) for n in range(2)]
        for n in range(BATCH - 2):
            flow.add("work.noop", n).after(*parents)


def _step(number: int) -> None:
    from qcore.tasks import async_task_many

    async_task_many(
        "stepping.one", [(n,) for n in range(BATCH)], q_options={"durable": True}
    )


KINDS = {
    "plain": Kind("a plain task", _plain),
    "urgent": Kind("a task with a priority", _urgent, 1.05),
    "tracked": Kind("a tracked task", _tracked, 1.15),
    "retried": Kind("a retry by release", _retried, 1.1, runs=2),
    "member": Kind("a member of a batch", _member, 1.25),
    "unique": Kind("a unique task", _unique, 1.25),
    "limited": Kind("a task under a limit of concurrency", _limited, 1.3),
    "rated": Kind("a task under a rate", _rated, 1.3),
    "node": Kind("a node with two parents", _node, 1.5),
    "step": Kind("a durable task with one step", _step, 3),
    "plain apart": Kind("a plain task, queue elsewhere", _plain, apart=True),
    "outbox": Kind("the same, through the outbox", _outbox, 1.35, apart=True),
}


def set_up(folder: Path, database: dict[str, Any], *, apart: bool) -> None:
    """Be a project with that database, and with the plugins that have features.

    Args:
        folder: where tasks write.
        database: an entry of ``DATABASES``.
        apart: whether the queue has another one of its kind.
    """
    import django
    from django.conf import settings
    from django.core.management import call_command

    os.environ["BENCH_RECORDS"] = str(folder / "records")
    os.environ["QCORE_PLUGINS"] = "orm,limits,flows"
    settings.configure(
        SECRET_KEY="bench",
        LOGGING={
            "version": 1,
            "handlers": {"none": {"class": "logging.NullHandler"}},
            "loggers": {"qcore": {"level": "ERROR", "handlers": ["none"]}},
        },
        USE_TZ=True,
        DATABASES={"default": database, "queue": database.copy()},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "qcore",
            "qcore_orm",
            "qcore_limits",
            "qcore_flows",
        ],
        Q_CLUSTER={
            "name": "bench",
            "orm": "queue" if apart else "default",
            "save_limit": 0,
            "bulk": BATCH,
            "queue_limit": BATCH,
            "workers": 1,
            "recycle": 1_000_000,
            "limits": {
                "wide": {"concurrency": 10_000},
                "fast": {"rate": "100000/s", "burst": 10_000},
            },
        },
    )
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0, database="queue")


def _statements(kind: Kind, walk: Walk) -> list[int]:
    """Return the statements of sending a hundred, and of their walk."""
    from django.db import connection, connections

    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note), connections["queue"].execute_wrapper(note):
        kind.send(0)
        sent = len(seen)
        walk.go(BATCH * kind.runs)
    return [sent, len(seen) - sent]


def _go(kind: Kind, times: int) -> None:
    walk = Walk()  # a worker knows a process that was forked from its own, and ends it
    for number in range(1, times + 1):
        kind.send(number)
        walk.go(BATCH * kind.runs)


def _fork_all(folder: Path) -> None:
    """Runs in valgrind: fork twice for each kind, and note the forks' numbers."""
    for apart in (False, True):
        # settings can be made once in a process
        fork(partial(_fork_some, folder, apart=apart), 1)


def _fork_some(folder: Path, *, apart: bool) -> None:
    memory = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    set_up(folder, memory, apart=apart)
    walk = Walk()
    with (folder / "forks").open("a") as forks:
        for name, kind in KINDS.items():
            if kind.apart == apart:
                statements = _statements(kind, walk)  # and all caches are filled
                numbers = [fork(partial(_go, kind, n), 1) for n in (_FEW, _MANY)]
                print(name, *statements, *numbers, sep="\t", file=forks, flush=True)


if __name__ == "__main__":
    _fork_all(Path(sys.argv[1]))
