"""Functions with the decorator; what they do is of no interest."""

from __future__ import annotations

from typing import Any

from qcore import task
from qcore.results.finished import FinishedTask

from .ledger import note


@task
def double(number: int) -> int:
    """Return twice a number."""
    return 2 * number


@task(queue="mail", max_attempts=5, timeout=30, group="receipts")
def send_receipt(order_id: int, copies: int = 1) -> str:
    return f"receipt of order {order_id}, {copies} times"


@task(max_attempts=3)
async def rate(currency: str) -> float:
    return {"EUR": 1.0, "CHF": 1.1}[currency]


@task
def names(
    hook: Any = None,
    group: Any = None,
    timeout: Any = None,
    task: Any = None,
    func: Any = None,
    args: Any = None,
    kwargs: Any = None,
    sync: Any = None,
    broker: Any = None,
    cluster: Any = None,
    self: Any = None,
    **more: Any,
) -> dict[str, Any]:
    """Return what arrives: keywords that are also names of options and of parameters."""
    return {k: v for k, v in locals().items() if k != "more" and v is not None} | more


@task
def hook(finished: FinishedTask) -> None:
    note(finished.id, "hook")


@task(save=False)
def fails() -> None:
    raise ValueError("as it was told")


def plain(number: int) -> int:
    return number


plain_in_the_evening = task(queue="evening")(plain)


@task
def tidy() -> None:
    """Do nothing, again and again."""
