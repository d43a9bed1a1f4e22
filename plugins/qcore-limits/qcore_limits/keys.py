"""Keys: which task has which key. Each function does a batch with a few statements.

They run in transactions of the ledger's database that are open already. A key is taken by
an INSERT that does nothing where the key is there, in the order of the digests: so two
senders never wait for each other, and of two that want one key the second waits for the
commit of the first, for ``locks.LONGEST`` seconds. Clusters never wait for a sender.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db import transaction

from qcore import Drop, Release
from qcore.brokers.tools import chunks
from qcore.envelope import Outcome
from qcore.errors import EnqueueError, LedgerError, StoreError
from qcore.runtime import current

from . import locks
from .unique import LAST_RESORT, UNSENT, Unique, digest, key_of, shown

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
#: Seconds until a task comes again whose key is locked.
AGAIN = 1.0


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


def take(tasks: Sequence[NewTask]) -> None:
    """Take the keys of new tasks; skip, replace or refuse where a key is taken.

    Raises:
        EnqueueError: a key cannot be made, or is taken and that is an error.
        BrokerUnavailable: another transaction has taken a key, and has not ended for long.
    """
    if not tasks:
        return
    wanted: dict[str, list[Wanted]] = {}
    for new in tasks:
        unique = Unique(**new.options["unique"])
        key = key_of(new, unique)
        wanted.setdefault(digest(key), []).append(Wanted(new, unique, key))
        new.need("limits")
    with locks.waiting(_database(), f"the key of {tasks[0].task.func}"):
        owners = _insert(wanted)
    for mark, those in wanted.items():
        owner = owners[mark]
        for one in those:
            if one.new.task.id != owner:
                owner = _resolve(mark, one, owner)


#: The columns of a key, in the order of its model.
_COLUMNS = ("digest", "key", "task_id", "during", "taken", "until", "follows")


def _insert(wanted: dict[str, list[Wanted]]) -> dict[str, str]:
    """Take the keys that are free, each for its first task; return who has each."""
    from .models import UniqueKey

    now = _now()
    # a model for each would cost as much as the task
    rows = {
        mark: (
            mark,
            shown(first.key),
            first.new.task.id,
            first.unique.kind,
            now,
            now + _term(first),
            first.new.follows or "",
        )
        for mark, (first, *_) in wanted.items()
    }
    table = UniqueKey._meta.db_table  # noqa: SLF001 - Django's public name of it
    owners: dict[str, str] = {}
    for part in chunks(sorted(rows), MOST):
        left = part
        while left:
            new = [rows[mark] for mark in left]
            if _ledger().insert(table, _COLUMNS, new, ignore=True) == len(new):
                owners |= {mark: wanted[mark][0].new.task.id for mark in left}
                break  # nearly always: all of them were free
            mine = [
                UniqueKey(**dict(zip(_COLUMNS, values, strict=True))) for values in new
            ]
            owners |= _owners(mine, wanted, now)
            # the end of a task has freed the key between the two statements: take it now
            left = [mark for mark in left if mark not in owners]
    return owners


def _term(one: Wanted) -> float:
    return one.unique.term_after(one.new.delay, is_sent=one.new.follows is None)


def _owners(
    rows: Sequence[UniqueKey], wanted: dict[str, list[Wanted]], now: float
) -> dict[str, str]:
    """Return who has each key; lock those that are to change.

    A key that another task keeps is only read. Its row belongs to a cluster, which would
    not get it before the end of the sender's transaction.
    """
    owners: dict[str, str] = {}
    # where an INSERT that does nothing locks the row all the same, a snapshot may be old
    if not locks.reads_are_old(_database()):
        replacing = {
            mark
            for mark, those in wanted.items()
            if any(one.unique.on_conflict == "replace" for one in those)
        }
        mine = {row.digest: row for row in rows if row.digest not in replacing}
        for row in _keys().filter(digest__in=mine):
            is_own = row.task_id == mine[row.digest].task_id
            if is_own or (row.until > now and row.digest not in owners):
                owners[row.digest] = row.task_id
    return owners | _lock([row for row in rows if row.digest not in owners], now)


def _lock(rows: Sequence[UniqueKey], now: float) -> dict[str, str]:
    """Lock the keys of these rows; return who has each. One whose time is over is taken."""
    mine = {row.digest: row for row in rows}
    if not mine:
        return {}
    locked = _keys().select_for_update().filter(digest__in=mine).order_by("digest")
    found = {row.digest: row for row in locked}
    over = [
        row
        for mark, row in found.items()
        if row.task_id != mine[mark].task_id and row.until <= now
    ]
    kept = _kept(over, now)
    for row in over:
        if row.digest not in kept:
            mine[row.digest].save(using=_database(), force_update=True)
            found[row.digest] = mine[row.digest]
    return {mark: row.task_id for mark, row in found.items()}


def _kept(over: Sequence[UniqueKey], now: float) -> dict[str, float]:
    """Return until when keys stay taken whose time is over, by their digests.

    A task may wait in the outbox for longer than ``LAST_RESORT``: it has a long delay, or
    sleeps. Of a task that is sent after the success of another one, that one tells whether
    it was sent.
    """
    rows = [row for row in over if row.during != "seconds"]
    ledger = current.ledger
    if not rows or ledger is None:
        return {}
    waits = ledger.waiting([row.task_id for row in rows])
    kept = {row.digest: now + LAST_RESORT for row in rows if row.task_id in waits}
    unsure = [row for row in rows if row.follows and row.digest not in kept]
    if unsure:
        ended = ledger.ended({row.follows for row in unsure})
        for row in unsure:
            outcome = ended.get(row.follows) or _stored_end(row.follows)
            last = row.taken + LAST_RESORT
            until = min(now + UNSENT, last) if outcome is None else last
            if outcome in (None, Outcome.SUCCESS) and until > now:
                kept[row.digest] = until
    return kept


def _stored_end(task_id: str) -> str | None:
    """Return how a task has ended, as its result says; None: it does not."""
    try:
        found = current.results.fetch(task_id)
    except StoreError as error:
        logger.warning("nobody knows how the task %s has ended: %s", task_id, error)
        return None
    return found.outcome if found is not None and found.final else None


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
        task_id=id,
        during=one.unique.kind,
        taken=now,
        until=now + _term(one),
        follows=one.new.follows or "",
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


def locked_out(claims: Sequence[Claim]) -> dict[str, Release]:
    """Lock the keys that tasks free when they begin; return those that cannot begin now.

    A sender that replaces one of them has its key until its transaction ends: by then the
    task is dropped, or it runs.
    """
    ids = [claim.task.id for claim in claims if _is_kept_while_waiting(claim.task)]
    why = "a sender that has not committed has its key"
    found = (locks.lock(_keys(), part)[1] for part in _parts(ids))
    return {id: Release(AGAIN, why) for busy in found for id in busy}


def begin(claims: Sequence[Claim]) -> None:
    """Free the keys of tasks that keep them while they wait: these run now."""
    ids = (claim.task.id for claim in claims if _is_kept_while_waiting(claim.task))
    for part in _parts(ids):
        _keys().filter(task_id__in=part, during="waiting").delete()


def _is_kept_while_waiting(task: Task) -> bool:
    plugins = task.options.plugins
    words = plugins.get("unique") if isinstance(plugins, dict) else None
    return words is not None and words["during"] == "waiting"


def _is_unique(task: Task) -> bool:
    plugins = task.options.plugins
    return isinstance(plugins, dict) and "unique" in plugins


def free(settled: Iterable[Settled]) -> None:
    """Free the keys of tasks that have ended, but those that are held for a time.

    Raises:
        LedgerError: a sender that replaces one of them has its key locked. The end of this
            task waits for the end of that transaction, and nothing else does.
    """
    over = [one.task.id for one in settled if one.final and _is_unique(one.task)]
    for part in _parts(over):
        marks, busy = locks.lock(_keys().exclude(during="seconds"), part)
        if busy:
            raise LedgerError(
                f"the key of {', '.join(sorted(busy))} is locked by a sender that has not"
                " committed"
            )
        for some in chunks(marks, MOST):
            _keys().filter(digest__in=some).delete()
        _replaced().filter(task_id__in=part).delete()


def _parts(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    return iter(chunks(sorted(set(ids)), MOST))


# -- sweeping ----------------------------------------------------------------------------
def sweep(now: float) -> float:
    """Delete rows whose time is over; return the seconds until the next sweep."""
    if not apps.is_installed("qcore_limits"):
        return EVERY  # the plugin is installed, and this project does not use it
    full, gone = False, 0
    for rows in (_keys(), _replaced()):
        old = rows.filter(until__lte=now).order_by("until")
        ids = list(old.values_list("pk", flat=True)[:SWEPT])
        for part in _parts(ids):
            gone += _sweep_part(rows, part, now)
        full = full or len(ids) == SWEPT
    return 0.0 if full and gone else EVERY


def _sweep_part(rows: QuerySet[Any], ids: Sequence[str], now: float) -> int:
    """Delete rows whose time is over; return how many, with those that are kept."""
    from .places import begin_to_write

    with transaction.atomic(using=_database()):
        begin_to_write()
        # what is locked, or taken anew since, is left alone
        free = locks.skipping(rows.filter(pk__in=ids, until__lte=now))
        found = {row.pk: row for row in free.order_by("pk")}
        count = len(found)
        if rows.model.__name__ == "UniqueKey":
            for pk, until in _kept(list(found.values()), now).items():
                rows.filter(pk=pk).update(until=until)
                del found[pk]
        rows.filter(pk__in=list(found)).delete()
        return count
