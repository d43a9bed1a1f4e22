"""Failed attempts, made up for the tests of error reporters."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from ...envelope import Outcome, new_id
from ...reporters.base import Report


class Unprintable(Exception):
    """Raises where its text is asked for."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class OwnKind(BaseException):
    """Is no ``Exception``, as few things that a task can raise."""


def make_report(exception: BaseException | None, **given: Any) -> Report:
    """Return the report of a failed attempt, whose id nobody has used."""
    fields: dict[str, Any] = {
        "task_id": new_id(),
        "task_name": "nightly-51f09a3c",
        "func": "shop.tasks.nightly",
        "queue": "contract-queue",
        "group": "contract-group",
        "attempt": 3,
        "outcome": Outcome.FAILURE,
        "message": "ValueError: no luck today",
        "worker": "contract-host:4711",
        "exception": exception,
    }
    return Report(**(fields | given))


def raised(error: BaseException, password: str = "") -> BaseException:
    """Return an exception with a traceback, in whose frames the password is."""

    def task(secret: str) -> None:
        variable = {"of": secret}
        if variable:
            raise error

    try:
        task(password)
    except BaseException as caught:  # noqa: BLE001 - that is what it is for
        return caught
    raise AssertionError


def raised_elsewhere(error: BaseException) -> BaseException:
    """Return an exception that another function has raised."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - as above
        return caught


def _chain() -> BaseException:
    first = raised(KeyError("first"))
    second = RuntimeError("second")
    second.__cause__ = first
    return raised(second)


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "unprintable": lambda: raised(Unprintable()),
    "base": lambda: raised(OwnKind("not an Exception")),
    "chain": _chain,
    "group": lambda: raised(ExceptionGroup("both", [ValueError("a"), KeyError("b")])),
    "long": lambda: raised(ValueError("x" * 300_000)),
}


def trail(trace: TracebackType | None) -> list[int]:
    """Return the identities of a traceback's parts."""
    found = []
    while trace is not None:
        found.append(id(trace))
        trace = trace.tb_next
    return found
