"""Places: the keys of limits as rows that are locked, counted and filled.

Whoever decides about a key has its row locked until the commit. So the numbers in it are
right whatever happens at the same time, on any number of machines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from qcore.brokers.tools import chunks, placeholders
from qcore.runtime import current

from .models import Hold, LimitKey, WaitingTask
from .wanted import Rules, Wanted

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from qcore.runtime import LedgerPlace

#: Rows in one statement. SQLite before 3.32 takes 999 parameters.
MOST = 100
#: Seconds that a hold lasts, unless it is renewed: then its task does not run any more. And
#: those for which the place is kept for the same task after that.
TERM, KEPT = 60.0, 60.0
#: Seconds for which a place is reserved for a task that is woken: its package may wait
#: behind others in the queue.
RESERVED = 300.0
#: Tasks that are woken together where a limit was lifted.
WOKEN = 500

KEYS = LimitKey._meta.db_table  # noqa: SLF001 - Django's public name of it
HOLDS = Hold._meta.db_table  # noqa: SLF001 - as above
WAITING = WaitingTask._meta.db_table  # noqa: SLF001 - as above
#: The columns of a key and of a task that waits.
_OF_KEYS = [str(field.column) for field in LimitKey._meta.concrete_fields]  # noqa: SLF001
_OF_WAITING = [str(field.column) for field in WaitingTask._meta.concrete_fields]  # noqa: SLF001
#: What of a key is written after it has changed.
_CHANGED = ("concurrency", "tokens", "filled", "next_start", "parked", "later", "used")


class Held(NamedTuple):
    """A row of ``Hold``; a model would cost as much as its task."""

    id: int | None  # None: it is not written yet
    digest: str
    task_id: str
    start: int
    until: float
    ends: float


PARKED, CALLED, LATER = "parked", "called", "later"


def database() -> str:
    """Return the alias of the database that has the tables."""
    assert current.ledger is not None
    return current.ledger.database


def now() -> float:
    """Return the time by the clock of that database."""
    assert current.ledger is not None
    return current.ledger.now()


def keys() -> QuerySet[LimitKey]:
    """Return the rows of keys."""
    return LimitKey.objects.using(database())


def holds() -> QuerySet[Hold]:
    """Return the rows of holds."""
    return Hold.objects.using(database())


def waiting() -> QuerySet[WaitingTask]:
    """Return the rows of tasks that wait."""
    return WaitingTask.objects.using(database())


def begin_to_write() -> None:
    """Take the lock for writing where a database has one for all, before anything is read."""
    if connections[database()].vendor == "sqlite":
        keys().filter(digest="").delete()


def _ledger() -> LedgerPlace:
    assert current.ledger is not None
    return current.ledger


def lock(marks: Collection[str]) -> dict[str, LimitKey]:
    """Lock the keys that are there, in the order of their digests."""
    found: dict[str, LimitKey] = {}
    ledger = _ledger()
    locks = connections[ledger.database].features.has_select_for_update
    for part in chunks(sorted(set(marks)), MOST):
        for values in ledger.execute(
            f"SELECT {', '.join(_OF_KEYS)} FROM {KEYS}"
            f" WHERE digest IN ({placeholders(part)}) ORDER BY digest"
            f"{' FOR UPDATE' if locks else ''}",
            part,
        ):
            row = LimitKey.from_db(ledger.database, _OF_KEYS, values)
            found[row.digest] = row
    return found


def lock_or_make(wanted: Iterable[Wanted], now: float) -> dict[str, LimitKey]:
    """Lock keys; one that is not there yet has all its starts left."""
    first = {one.digest: one for one in wanted}
    found = lock(first)
    missing = [first[mark] for mark in sorted(set(first) - set(found))]
    if missing:
        new = [
            LimitKey(
                digest=one.digest,
                name=one.name,
                label=one.label,
                concurrency=one.terms.concurrency,
                tokens=float(one.terms.burst),
                filled=now,
                used=now,
            )
            for one in missing
        ]
        keys().bulk_create(new, ignore_conflicts=True, batch_size=MOST)
        found |= lock([one.digest for one in missing])
    return found


def counted(marks: Collection[str], now: float) -> dict[str, int]:
    """Return how many places of each key are taken or reserved."""
    found: dict[str, int] = {}
    for part in chunks(sorted(set(marks)), MOST):
        rows = _ledger().execute(
            f"SELECT digest, COUNT(*) FROM {HOLDS}"
            f" WHERE digest IN ({placeholders(part)}) AND ends > %s GROUP BY digest",
            [*part, now],
        )
        found.update((mark, count) for mark, count in rows)
    return found


def holds_of(ids: Collection[str]) -> list[Held]:
    """Return what some tasks hold."""
    return [
        held
        for part in chunks(sorted(set(ids)), MOST)
        for held in starmap(Held, _of_tasks(HOLDS, Held._fields, part))
    ]


def lines_of(ids: Collection[str]) -> list[WaitingTask]:
    """Return where some tasks wait."""
    return [
        WaitingTask.from_db(_ledger().database, _OF_WAITING, values)
        for part in chunks(sorted(set(ids)), MOST)
        for values in _of_tasks(WAITING, _OF_WAITING, part)
    ]


def _of_tasks(
    table: str, columns: Sequence[str], ids: Sequence[str]
) -> list[tuple[Any, ...]]:
    return _ledger().execute(
        f"SELECT {', '.join(columns)} FROM {table}"
        f" WHERE task_id IN ({placeholders(ids)})",
        ids,
    )


def hold(rows: Sequence[Held]) -> None:
    """Write what tasks hold from now on."""
    _ledger().insert(HOLDS, Held._fields[1:], [row[1:] for row in rows])


def free(ids: Iterable[int | None]) -> None:
    """Delete holds that are written, by their ids."""
    _delete(HOLDS, ids)


def leave(ids: Iterable[int | None]) -> None:
    """Delete rows of tasks that wait, by their ids."""
    _delete(WAITING, ids)


def _delete(table: str, ids: Iterable[int | None]) -> None:
    for part in chunks(sorted(id for id in ids if id is not None), MOST):
        _ledger().execute(
            f"DELETE FROM {table} WHERE id IN ({placeholders(part)})", part
        )


def write(changed: Sequence[LimitKey]) -> None:
    """Write what has changed of locked keys."""
    rows = [[key.digest, *(getattr(key, name) for name in _CHANGED)] for key in changed]
    _ledger().change(KEYS, "digest", _CHANGED, rows)


def count_out(key: LimitKey | None, row: WaitingTask) -> None:
    """Take a task that waits out of the numbers of its key, which is locked."""
    if key is None:
        return
    if row.kind == PARKED:
        key.parked = max(0, key.parked - 1)
    elif row.kind == LATER:
        key.later = max(0, key.later - 1)


def fill(
    locked: Mapping[str, LimitKey],
    rules: Rules,
    now: float,
    *,
    are_all_written: bool = True,
) -> None:
    """Reserve free places for the tasks that have waited longest, and wake them.

    Each row of a task that waits must have its row of the outbox by now: one that nobody
    finds there is forgotten.

    Args:
        locked: the keys, by their digests; the caller writes them.
        rules: how many places there are.
        now: by the clock of the database.
        are_all_written: whether each task that the keys count as parked has its row.
    """
    full = {mark: key for mark, key in locked.items() if key.parked}
    taken = counted(full, now) if full else {}
    for mark, key in full.items():
        terms = rules.terms(key.name)
        if terms is not None:
            key.concurrency = terms.concurrency  # the sweep looks at it
        places = key.concurrency
        free = WOKEN if places is None else places - taken.get(mark, 0)
        _fill(key, min(free, WOKEN), now, are_all_written=are_all_written)


def _fill(key: LimitKey, free: int, now: float, *, are_all_written: bool) -> None:
    assert current.ledger is not None
    while free > 0 and key.parked:
        rows = waiting().filter(digest=key.digest, kind=PARKED)
        first = list(rows.order_by("since", "id")[: min(free, MOST)])
        if not first:
            if are_all_written:
                key.parked = 0
            return
        woken = current.ledger.wake("limits", [row.task_id for row in first])
        called = [row for row in first if row.task_id in woken]
        # its row of the outbox is gone: somebody has cancelled it, or deleted the row
        leave(row.pk for row in first if row.task_id not in woken)
        for row in called:
            row.kind, row.at = CALLED, now
        waiting().bulk_update(called, ["kind", "at"], batch_size=MOST)
        holds().bulk_create(
            [
                Hold(
                    digest=key.digest,
                    task_id=row.task_id,
                    start=0,
                    until=now + RESERVED,
                    ends=now + RESERVED,
                )
                for row in called
            ],
            ignore_conflicts=True,
            batch_size=MOST,
        )
        key.parked = max(0, key.parked - len(first))
        free -= len(called)
