"""The public API as the type checker of a project sees it; mypy reads this, nothing runs it.

A line with an ignore is a mistake that has to be found: mypy also complains where an
ignore is of no use.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, assert_type

from qcore import Broker, Conf, Delivery, ErrorReporter, Provider, hookimpl
from qcore.brokers import get_broker
from qcore.models import Failure, Schedule, Success, Task
from qcore.results.base import Record
from qcore.tasks import (
    AsyncTask,
    Chain,
    Iter,
    async_chain,
    async_iter,
    async_task,
    async_task_many,
    count_group,
    delete,
    delete_group,
    fetch,
    fetch_group,
    queue_size,
    result,
    result_group,
    schedule,
)


def add(x: int, y: int = 0) -> int:
    return x + y


async def rates() -> dict[str, float]:
    return {}


# -- sending ---------------------------------------------------------------------------
def sending() -> None:
    assert_type(async_task(add, 1, y=2, group="sums", timeout=None), str)
    assert_type(async_task("shop.tasks.add", 1, hook=add), str)
    assert_type(async_task(rates), str)
    assert_type(async_task_many(add, [(1, 2), [3]], group="sums"), list[str])
    assert_type(async_iter(add, range(3)), str)
    assert_type(async_chain([add, "shop.tasks.add", (add, (1,), {"y": 2})]), str)
    assert_type(queue_size(), int)
    assert_type(queue_size(get_broker("reports")), int)
    schedule(add, 1, schedule_type=Schedule.DAILY, next_run=dt.datetime.now(dt.UTC))
    async_task(17)  # type: ignore[arg-type]
    async_task_many(add, 17)  # type: ignore[arg-type]


# -- looking up ------------------------------------------------------------------------
def looking_up(task_id: str) -> None:
    found = fetch(task_id, wait=500)
    print(found.success)  # type: ignore[union-attr]
    assert found is not None
    assert_type(found, Record)
    assert_type(found.success, bool)
    assert_type(found.args, tuple[Any, ...])
    assert_type(found.stopped, dt.datetime)
    assert_type(found.time_taken(), float)
    assert_type(result(task_id, wait=-1, cached=60), Any)
    assert_type(fetch_group("sums", count=3, failures=False), list[Record])
    assert_type(result_group("sums", failures=True, wait=100, count=3), list[Any])
    assert_type(count_group("sums", failures=True), int)
    assert_type(delete_group("sums", tasks=True), int)
    assert_type(delete(task_id), bool)
    result(task_id, wait="500")  # type: ignore[arg-type]


# -- composing -------------------------------------------------------------------------
def composing() -> None:
    chain = Chain(cached=True)
    assert_type(chain.append(add, 1, y=2), int)
    assert_type(chain.run(), str)
    assert_type(chain.result(wait=100), list[Any] | None)
    assert_type(chain.current(), int | None)
    calls = Iter(add)
    assert_type(calls.append(1, 2), int)
    assert_type(calls.fetch(), Record | None)
    one = AsyncTask(add, 1, y=2)
    one.group = "sums"
    assert_type(one.run(), str)
    assert_type(one.fetch_group(failures=False, count=1), list[Record])


# -- the tables ------------------------------------------------------------------------
def tables() -> None:
    assert_type(Success.objects.get(), Success)
    assert_type(Failure.objects.first(), Failure | None)
    assert_type(Task.get_task("first sum"), Task | None)
    row = Schedule.objects.active(Conf()).get()
    assert_type(row, Schedule)
    assert_type(row.calculate_next_run(), dt.datetime | None)
    assert_type(row.success(), bool | None)


# -- plugins ---------------------------------------------------------------------------
class Reporter(ErrorReporter):
    def report(self, report: Any) -> None:
        print(report)


class Shelf(Broker):
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return []

    def enqueue(self, package: str) -> None: ...  # type: ignore[override]


@hookimpl
def qcore_brokers() -> list[Provider]:
    return [Provider("shelf", "shop.broker:Shelf", claims=("shelf",))]
