"""Limit: how many tasks may run at once, and how many may start in a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qcore.errors import EnqueueError, did_you_mean, sentence

from .template import check_template
from .words import made

#: Limits of one task, tasks at once under one key, and starts that may come together.
MOST_LIMITS, MOST_PLACES, MOST_BURST = 16, 100_000, 100_000
#: The number of a rate, and the seconds between two starts.
MOST_STARTS, LONGEST_PACE = 1_000_000, 366 * 86_400

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)/([0-9]+)?([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EXPECTED = (
    "the name of a limit, a qcore_limits.Limit, or a list of these without a name twice"
)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit for tasks, over all clusters and queues of the project.

    Args:
        name: 1 to 64 of the characters ``a-z A-Z 0-9 _ . -``.
        concurrency: tasks that run at once, at most; None: no limit.
        rate: starts in a time, at most: ``"100/m"``, ``"5/s"``, ``"1000/d"``, ``"5/10s"``, with
            the units s, m, h and d; None: no limit.
        burst: starts that may come together after a pause; with a rate only. 1 by
            default, which spreads the starts evenly.
        key: a template of names of arguments, such as ``"{customer}"``: each key has a limit of
            its own. None: one limit for all tasks that name it.

    Raises:
        ValueError: a value that is none of these, or no limit at all.
    """

    name: str
    concurrency: int | None = None
    rate: str | None = None
    burst: int | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuse what nobody can have meant."""
        if not _is_name(self.name):
            raise ValueError(
                f"name= of letters, digits, '_', '.' or '-', got {self.name!r}"
            )
        if self.concurrency is None and self.rate is None:
            raise ValueError(f"concurrency= or rate= for the limit {self.name!r}")
        _check_count("concurrency", self.concurrency, MOST_PLACES)
        if self.rate is not None:
            seconds_between(self.rate)
        _check_count("burst", self.burst, MOST_BURST)
        if self.burst is not None and self.rate is None:
            raise ValueError("burst= together with rate= only")
        if self.key is not None:
            check_template(self.key)

    def as_data(self) -> dict[str, Any]:
        """Return what is set, as plain data."""
        return {
            name: value for name, value in asdict(self).items() if value is not None
        }

    @property
    def pace(self) -> float | None:
        """Seconds between two starts; None: there is no rate."""
        return None if self.rate is None else seconds_between(self.rate)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _check_count(name: str, value: object, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name}=1 to {most}, got {value!r}")


def seconds_between(rate: object) -> float:
    """Return the seconds between two starts at a rate such as ``"100/m"``.

    Raises:
        ValueError: it is no rate.
    """
    found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    if found is not None:
        count, units, unit = found.groups()
        seconds, starts = int(units or 1) * _UNITS[unit], float(count)
        if 0 < starts <= MOST_STARTS and 0 < seconds <= LONGEST_PACE:
            pace = seconds / starts
            if pace <= LONGEST_PACE:
                return pace
    raise ValueError(
        f"rate='100/m', a number and a time: s, m, h, d, or '5/10s'; got {rate!r}"
    )


# -- the option --------------------------------------------------------------------------
def read_limits(value: Any) -> list[dict[str, Any]] | None:
    """Return the option as plain data; None where it says nothing.

    Raises:
        ValueError: with what was expected.
    """
    if value is None or value is False:
        return None
    if isinstance(value, (str, Limit, Mapping)):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise ValueError(_EXPECTED)  # noqa: TRY004 - as options are refused
    found = [_read(one) for one in value]
    names = {one["name"] for one in found}
    if len(names) < len(found) or len(found) > MOST_LIMITS:
        raise ValueError(f"{_EXPECTED}, {MOST_LIMITS} at most")
    return found or None


def _read(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        if not _NAME.fullmatch(value):
            raise ValueError(f"{_EXPECTED}; {value!r} is no name")
        return {"name": value}
    if isinstance(value, Limit):
        return value.as_data()
    if isinstance(value, Mapping):  # as a schedule has stored it
        if set(value) == {"name"}:
            return _read(value["name"])
        return made(Limit, value, _EXPECTED).as_data()
    raise ValueError(_EXPECTED)


# -- by name -----------------------------------------------------------------------------
def named(name: str, limits: Mapping[str, Limit], func: str) -> Limit:
    """Return a declared limit.

    Raises:
        EnqueueError: nobody has declared it.
    """
    if (found := limits.get(name)) is not None:
        return found
    near = did_you_mean(name, limits)
    fault = f"cannot send {func}: nobody has declared the limit {name!r}{near}"
    raise EnqueueError(
        f"{sentence(fault)} Add it to Q_CLUSTER['limits'], or pass a qcore_limits.Limit."
        f" Declared are: {', '.join(sorted(limits)) or 'none'}."
    )
