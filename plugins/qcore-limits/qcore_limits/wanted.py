"""What a task wants: its limits with their keys, as they travel in a header of the task.

Keys are filled where the task is sent: a cluster does not decode arguments before the run.
The numbers of each limit travel, too. A cluster uses them last: first come the numbers that
`qcore limits set` has stored, then those of the settings of the cluster.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from qcore.runtime import current

from .limit import Limit, named, seconds_between
from .setting import declared
from .template import fill
from .unique import digest, shown

if TYPE_CHECKING:
    from qcore import NewTask, Task

logger = logging.getLogger("qcore.limits")

#: The header of a task that has limits.
HEADER = "qcore-limits"


class Terms(NamedTuple):
    """The numbers of a limit."""

    concurrency: int | None
    pace: float | None  # seconds between two starts
    burst: int


class Wanted(NamedTuple):
    """A key that a task needs a place, or a start, under."""

    digest: str
    name: str
    label: str
    terms: Terms


class Rules:
    """The limits as this cluster knows them, for one transaction."""

    def __init__(self) -> None:
        from .models import LimitChange

        ledger = current.ledger
        assert ledger is not None
        self._changes: dict[str, Terms] = {}
        table = LimitChange._meta.db_table  # noqa: SLF001 - Django's public name of it
        for name, *words in ledger.execute(
            f"SELECT name, concurrency, rate, burst FROM {table}"
        ):
            try:
                self._changes[name] = _terms(*words)
            except ValueError as error:  # written by hand: the other limits hold
                logger.error("the change of the limit %r is not heeded: expected %s",
                             name, error)  # fmt: skip
        self._declared = {
            name: _terms(limit.concurrency, limit.rate, limit.burst)
            for name, limit in declared(current.conf).items()
        }

    def terms(self, name: str, carried: Terms | None = None) -> Terms | None:
        """Return the numbers of a limit; None where nobody knows them."""
        return self._changes.get(name) or self._declared.get(name) or carried

    def wanted(self, task: Task) -> list[Wanted]:
        """Return what a task wants, in the order in which keys are locked."""
        found = []
        for name, key, concurrency, rate, burst in _header(task):
            carried = _terms(concurrency, rate, burst)
            label = name if key is None else f"{name}:{key}"
            mark = digest(f"{name}\0{'' if key is None else key}")
            terms = self.terms(name, carried) or carried
            found.append(Wanted(mark, name, shown(label), terms))
        return sorted(found)


def _terms(concurrency: int | None, rate: str | None, burst: int | None) -> Terms:
    pace = seconds_between(rate) if rate else None
    return Terms(concurrency, pace, burst or 1)


def _header(task: Task) -> list[tuple[str, str | None, int | None, str | None, int]]:
    found = (task.headers or {}).get(HEADER)
    return [] if found is None else json.loads(found)


def has_limits(task: Task) -> bool:
    """Whether a task has limits."""
    return task.headers is not None and HEADER in task.headers


def note(tasks: Iterable[NewTask]) -> None:
    """Write into new tasks what they want.

    Raises:
        EnqueueError: nobody has declared a limit, or a key cannot be filled.
    """
    limits = declared(current.conf)
    for new in tasks:
        rows = []
        for words in new.options["limits"]:
            limit = _limit(words, limits, new.task.func)
            key = None if limit.key is None else fill(limit.key, new)
            rows.append([limit.name, key, limit.concurrency, limit.rate, limit.burst])
        new.set_header(HEADER, json.dumps(rows))
        new.need("limits")


def _limit(
    words: Mapping[str, object], limits: Mapping[str, Limit], func: str
) -> Limit:
    if set(words) == {"name"}:
        return named(str(words["name"]), limits, func)
    return Limit(**words)  # type: ignore[arg-type]
