"""Keys: which task has which key. Each function does a batch with a few statements.

They run in transactions of the ledger's database that are open already. A key is taken by
an INSERT that does nothing where the key is there, in the order of the digests: so two
senders never wait for each other, and of two that want one key the second waits for the
commit of the first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from django.apps import apps

from qcore import Drop
from qcore.brokers.tools import chunks
from qcore.envelope import Outcome
from qcore.errors import EnqueueError
from qcore.runtime import current

from .unique import LAST_RESORT, Unique, digest, key_of, shown

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from qcore import Claim, NewTask, Settled, Task
    from qcore.runtime import LedgerPlace

    from .models import ReplacedTask, UniqueKey

logger = logging.getLogger("qcore.limits")

#: Ids or digests in one statement. SQLite before 3.32 takes 999 parameters.
MOST = 150
#: Rows that one sweep deletes at most of each table, and seconds until the next one.
SWEPT, EVERY = 1000, 60.0


class Wanted(NamedTuple):
    """A key that a new task wants."""

    new: NewTask
    unique: Unique
    key: str


class KeyTaken(EnqueueError):
    """The key of a task is taken, and the option says ``on_conflict="raise"``.

    Attributes:
        task_id: of the task that has the key.
    """

    def __init__(self, wanted: Wanted, task_id: str) -> None:
        super().__init__(
            f"cannot send {wanted.new.task.func}: the task {task_id} has the key"
            f" {shown(wanted.key)!r}."
        )
        self.task_id = task_id


def _keys() -> QuerySet[UniqueKey]:
    from .models import UniqueKey

    return UniqueKey.objects.using(_database())


def _replaced() -> QuerySet[ReplacedTask]:
    from .models import ReplacedTask

    return ReplacedTask.objects.using(_database())


def _database() -> str:
    return _ledger().database


def _now() -> float:
    return _ledger().now()


def _ledger(option: str = "unique") -> LedgerPlace:
    ledger = current.ledger
    if ledger is None or not apps.is_installed("qcore_limits"):
        raise EnqueueError(
            f"the option {option!r} needs 'qcore' and 'qcore_limits' in INSTALLED_APPS. Add"
            " them and run: python manage.py migrate"
        )
    return ledger


# -- sending -----------------------------------------------------------------------------
def required(tasks: Sequence[NewTask]) -> None:
    """Check that the project has the tables, before anything is decided about tasks.

    Raises:
        EnqueueError: it does not; the message says what to do.
    """
    option = next(name for name in ("unique", "limits") if name in tasks[0].options)
    _ledger(option)


def take(tasks: Iterable[NewTask]) -> None:
    """Take the keys of new tasks; skip, replace or refuse where a key is taken.

    Raises:
        EnqueueError: a key cannot be made, or is taken and that is an error.
    """
    wanted: dict[str, list[Wanted]] = {}
    for new in tasks:
        unique = Unique(**new.options["unique"])
        key = key_of(new, unique)
        wanted.setdefault(digest(key), []).append(Wanted(new, unique, key))
        new.need("limits")
    owners = _insert(wanted)
    for mark, those in wanted.items():
        owner = owners[mark]
        for one in those:
            if one.new.task.id != owner:
                owner = _resolve(mark, one, owner)


def _insert(wanted: dict[str, list[Wanted]]) -> dict[str, str]:
    """Take the keys that are free, each for its first task; return who has each."""
    from .models import UniqueKey

    now = _now()
    rows = [
        UniqueKey(
            digest=mark,
            key=shown(first.key),
            task_id=first.new.task.id,
            during=first.unique.kind,
            taken=now,
            until=now + first.unique.term,
        )
        for mark, (first, *_) in sorted(wanted.items())
    ]
    owners: dict[str, str] = {}
    mine = {row.digest: row for row in rows}
    for part in chunks(sorted(mine), MOST):
        left = part
        while left:
            _keys().bulk_create([mine[mark] for mark in left], ignore_conflicts=True)
            owners |= _lock([mine[mark] for mark in left], now)
            # the end of a task has freed the key between the two statements: take it now
            left = [mark for mark in left if mark not in owners]
    return owners


def _lock(rows: Sequence[UniqueKey], now: float) -> dict[str, str]:
    """Lock the keys of these rows; return who has each. One whose time is over is taken."""
    owners: dict[str, str] = {}
    mine = {row.digest: row for row in rows}
    for row in _keys().select_for_update().filter(digest__in=mine).order_by("digest"):
        if row.task_id != mine[row.digest].task_id and row.until <= now:
            mine[row.digest].save(using=_database(), force_update=True)
            row = mine[row.digest]  # noqa: PLW2901 - the time of the other was over
        owners[row.digest] = row.task_id
    return owners


def _resolve(mark: str, one: Wanted, owner: str) -> str:
    """Decide what becomes of a task whose key another one has; return who has it then."""
    if one.unique.on_conflict == "raise":
        raise KeyTaken(one, owner)
    if one.unique.on_conflict == "skip":
        one.new.skip(owner)
        return owner
    id = one.new.task.id
    if _replaced().filter(task_id=id).exists():
        # made again, as the next link of a chain is, and replaced since
        one.new.skip(owner)
        return owner
    from .models import ReplacedTask

    now = _now()
    _keys().filter(digest=mark).update(
        task_id=id, during=one.unique.kind, taken=now, until=now + one.unique.term
    )
    _replaced().bulk_create(
        [ReplacedTask(task_id=owner, by=id, until=now + LAST_RESORT)],
        ignore_conflicts=True,
    )
    return id


# -- claims and ends ---------------------------------------------------------------------
def dropped(claims: Sequence[Claim]) -> dict[str, Drop]:
    """Return, by their ids, what becomes of tasks that others have replaced."""
    gone: dict[str, str] = {}
    for part in _parts(claim.task.id for claim in claims if _is_unique(claim.task)):
        gone |= dict(_replaced().filter(task_id__in=part).values_list("task_id", "by"))
    return {
        id: Drop(Outcome.REPLACED, f"the task {by} has taken its key")
        for id, by in gone.items()
    }


def begin(claims: Sequence[Claim]) -> None:
    """Free the keys of tasks that keep them while they wait: these run now."""
    for part in _parts(claim.task.id for claim in claims if _is_unique(claim.task)):
        _keys().filter(task_id__in=part, during="waiting").delete()


def _is_unique(task: Task) -> bool:
    plugins = task.options.plugins
    return isinstance(plugins, dict) and "unique" in plugins


def free(settled: Iterable[Settled]) -> None:
    """Free the keys of tasks that have ended, but those that are held for a time."""
    over = [one.task.id for one in settled if one.final and _is_unique(one.task)]
    for part in _parts(over):
        _keys().filter(task_id__in=part).exclude(during="seconds").delete()
        _replaced().filter(task_id__in=part).delete()


def _parts(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    return iter(chunks(sorted(set(ids)), MOST))


# -- sweeping ----------------------------------------------------------------------------
def sweep(now: float) -> float:
    """Delete rows whose time is over; return the seconds until the next sweep."""
    if not apps.is_installed("qcore_limits"):
        return EVERY  # the plugin is installed, and this project does not use it
    full = False
    for rows in (_keys(), _replaced()):
        old = rows.filter(until__lte=now).order_by("until")
        ids = list(old.values_list("pk", flat=True)[:SWEPT])
        for part in _parts(ids):
            # taken anew since, perhaps
            rows.filter(pk__in=part, until__lte=now).delete()
        full = full or len(ids) == SWEPT
    return 0.0 if full else EVERY
