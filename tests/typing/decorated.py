"""Task functions as the type checker of a project sees them: mypy and pyright read this.

A line with an ignore is a mistake that has to be found.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from qcore import task
from qcore.tasks.task_function import TaskId


@task
def add(x: int, y: int = 0) -> int:
    return x + y


@task(queue="mail", max_attempts=5, timeout=30)
def send_receipt(order_id: int, *, copies: int = 1) -> str:
    return f"{copies} x {order_id}"


@task(timeout=None)
async def rate(currency: str) -> float:
    return 1.0


@task(backend="default", queue_name="mail", max_attempts=5)
def charge(order_id: int) -> str:
    return f"{order_id}"


@task
async def rates() -> dict[str, float]:
    return {}


def calling() -> None:
    assert_type(add(1, y=2), int)
    assert_type(send_receipt(17, copies=2), str)
    later = assert_type(rate("EUR"), Coroutine[Any, Any, float])
    later.close()
    assert_type(add.call(1), int)
    assert_type(rate.call("EUR"), float)
    add("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def sending(task_id: str) -> None:
    assert_type(add.enqueue(1, y=2), TaskId[int])
    assert_type(rate.enqueue("EUR"), TaskId[float])
    assert_type(send_receipt.enqueue(17, copies=2), TaskId[str])
    assert_type(add.map([(1, 2), (3,), 4]), list[TaskId[int]])
    assert_type(add.using(timeout=60, queue="mail").enqueue(1), TaskId[int])
    assert_type(add.enqueue(1).result(wait=500), int | None)
    assert_type(rates.enqueue().result(), dict[str, float] | None)
    assert_type(add.get_result(task_id), int | None)
    text: str = add.enqueue(1)
    assert text
    add.enqueue("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add.enqueue(1, z=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send_receipt.enqueue(17, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    add.using(timeout="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add.using(tiemout=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def awaiting() -> None:
    assert_type(await rate("EUR"), float)
    assert_type(await add.aenqueue(1, y=2), TaskId[int])
    assert_type(await rate.aenqueue("EUR"), TaskId[float])
    assert_type(await add.acall(1), int)
    assert_type(await rate.acall("EUR"), float)
    assert_type(await add.amap([1, 2]), list[TaskId[int]])
    assert_type(await (await add.aenqueue(1)).aresult(), int | None)


async def tasks_of_django() -> None:
    assert_type(charge(17), str)
    charge.enqueue(17).refresh()
    charge.using(backend="other", timeout=60).enqueue(17)
    (await charge.aenqueue(17)).cancel()
    charge.enqueue("17")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    charge.enqueue(17, z=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
