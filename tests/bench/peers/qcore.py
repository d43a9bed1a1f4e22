"""qcore, from this checkout, as its documentation starts it; results in the database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading

    from turn import Turn

_ROOT = Path(__file__).parents[3]
REQUIREMENTS = [
    *("-e", str(_ROOT)),
    *("-e", str(_ROOT / "plugins/qcore-orm")),
    *("-e", str(_ROOT / "plugins/qcore-redis")),
    "psycopg[binary]",
    "django>=5.2,<6",
]
STORES = ("redis", "postgres", "sqlite")
VARIANTS: dict[str, dict[str, Any]] = {
    "connage0": {"conn_max_age": 0},
    "no-results": {"save_limit": -1},
    "default-limit": {"save_limit": 250},
    "bands": {"bands": True},
}
APPS = ["qcore", "qcore_orm", "jobs"]


def settings(turn: Turn) -> dict[str, Any]:
    """Return the settings of a turn; every result is kept, as the peers do."""
    broker = {"redis": turn.redis} if turn.store == "redis" else {"orm": "default"}
    keep = {"save_limit": turn.options.get("save_limit", 0)}
    bands = {"bands": True} if turn.options.get("bands") else {}
    cluster = {"name": "bench", "workers": turn.workers, **keep, **broker, **bands}
    return {"Q_CLUSTER": cluster}


def workers(turn: Turn) -> list[list[str]]:
    return [["qcore", "cluster"]]


def enqueue(kind: str, task: int) -> None:
    from qcore.tasks import async_task

    async_task(f"jobs.tasks.{kind}", task)


def enqueue_within(kind: str, task: int) -> float:
    """Enqueue inside of a transaction; return the moment of its commit, epoch seconds."""
    import time

    from django.db import transaction

    moments: list[float] = []
    with transaction.atomic():
        # before the sender's: called when the database has said that it is durable
        transaction.on_commit(lambda: moments.append(time.time()))
        enqueue(kind, task)
    return moments[0]


def claim(claimed: dict[int, float], is_over: threading.Event) -> None:
    """Claim packages as they come, and note for each task when that was, epoch seconds."""
    import time

    from qcore.runtime import current
    from qcore.serializers import get_serializer
    from qcore.signing import peek

    broker = current.broker()
    while not is_over.is_set():
        for delivery in broker.dequeue(1, 0.2):
            at = time.time()
            task = peek(delivery.package)
            args, *_ = get_serializer(task.content).loads(task.body)
            claimed.setdefault(args[0], at)
            broker.acknowledge(delivery.receipt)


def enqueue_many(kind: str, tasks: Sequence[int]) -> None:
    from qcore.tasks import async_task_many

    async_task_many(f"jobs.tasks.{kind}", tasks)


def stored() -> int:
    from qcore.models import Task

    return Task.objects.count()


def fill_results(count: int) -> None:
    """Store results of tasks that ended long ago."""
    from django.utils import timezone

    from qcore.models import Task

    now = timezone.now()
    same = {"func": "jobs.tasks.noop", "cluster": "bench", "outcome": "success"}
    same |= {"content": "json", "payload": "[[1],{}]"}
    same |= {"value_content": "json", "value": "1"}
    times = {"enqueued": now, "started": now, "stopped": now}
    rows = (
        Task(
            **same, **times, id=f"{n:032x}", name=f"n{n}", success=True, attempt_count=1
        )
        for n in range(count)
    )
    Task.objects.bulk_create(rows, batch_size=1000)


def fill_schedules(count: int) -> None:
    """Store schedules of which none is due for a day."""
    import datetime as dt

    from django.utils import timezone

    from qcore.models import Schedule

    later = timezone.now() + dt.timedelta(days=1)
    same = {"func": "jobs.tasks.noop", "schedule_type": Schedule.HOURLY}
    rows = (Schedule(**same, args=f"[{n}]", next_run=later) for n in range(count))
    Schedule.objects.bulk_create(rows, batch_size=1000)


def make_due(count: int, at: float) -> None:
    """Let the last of the schedules be due at a moment, epoch seconds."""
    import datetime as dt

    from qcore.models import Schedule

    last = list(Schedule.objects.order_by("-pk").values_list("pk", flat=True)[:count])
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    Schedule.objects.filter(pk__in=last).update(next_run=moment)


def fill_outbox(count: int, due: float) -> None:
    """Leave tasks to the outbox, to be sent at a moment, epoch seconds."""
    from qcore.models import OutboxRow
    from qcore.runtime import current
    from qcore.tasks.calls import build
    from qcore.tasks.outgoing import relayed

    queue = current.conf.queue
    tasks = relayed([build("jobs.tasks.noop", (n,)) for n in range(count)])
    rows = (
        OutboxRow(
            due=due, queue=queue, task_id=task.id, package=current.signer.sign(task)
        )
        for task in tasks
    )
    OutboxRow.objects.bulk_create(rows, batch_size=1000)


def fill_ledger(count: int, due: float) -> None:
    """Leave as many tasks to the outbox, and cancel as many that nobody has claimed yet."""
    import time

    from qcore.envelope import new_ids
    from qcore.models import Ticket

    fill_outbox(count, due)
    now = time.time()
    rows = (Ticket(task_id=id, cancelled=now) for id in new_ids(count))
    Ticket.objects.bulk_create(rows, batch_size=1000)


def enqueue_cancellable(task: int) -> str:
    """Send a task that runs until it is cancelled."""
    from qcore.tasks import async_task

    return async_task("jobs.tasks.until_cancelled", task)


def cancel(task_id: str) -> None:
    """Cancel a task."""
    from qcore.tasks import cancel

    cancel(task_id)
