"""Tasks that ask to be run again, or not to be; and functions that say when."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from qcore import Discard, Retry, Snooze

from .ledger import VARIABLE, Ledger, note


class Refused(Exception):
    """An error of this project."""


class RefusedForGood(Refused):
    """A special case of it."""


def fail_with(name: str, key: str | None = None) -> None:
    """Raise an exception of this module, or a built-in one."""
    if key is not None:
        note(key, "began")
    kinds = {"Refused": Refused, "RefusedForGood": RefusedForGood, "OSError": OSError}
    raise kinds.get(name, ValueError)(name)


def retry(after: float | None = None) -> None:
    raise Retry("once more", after=after)


def snooze(after: float = 0) -> None:
    raise Snooze("not now", after=after)


def discard() -> None:
    raise Discard("nobody wants it")


def snooze_twice(key: str, after: float = 0) -> str:
    """Ask to be run later, the first two times; each run may be in another worker."""
    note(key, "began")
    if len(Ledger(Path(os.environ[VARIABLE])).entries(key, "began")) <= 2:
        raise Snooze("not now", after=after)
    return "awake"


# -- policies ---------------------------------------------------------------------------
def five_each(attempt: int, error: BaseException) -> float:
    return 5.0 * attempt


def by_error(attempt: int, error: BaseException) -> dt.timedelta:
    return dt.timedelta(seconds=len(str(error)))


def raises(attempt: int, error: BaseException) -> float:
    raise ZeroDivisionError("policy")


def exits(attempt: int, error: BaseException) -> float:
    raise SystemExit(3)


def nonsense(attempt: int, error: BaseException) -> object:
    return "soon"


def negative(attempt: int, error: BaseException) -> float:
    return -1.0


def nothing(attempt: int, error: BaseException) -> None:
    return None
