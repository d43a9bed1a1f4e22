"""Firing: schedules that are due become slots, many in one transaction.

Tasks are built before the transaction begins: receivers of ``pre_enqueue`` are the
project's code, and a query of theirs that fails must not take the slots with it. Where
the transaction fails all the same, each schedule is tried by itself, and the one that
is the reason shows why.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from django.db import transaction
from django.utils import timezone

from ..conf.names import queue_fault
from ..errors import EnqueueError, QcoreError, StoreUnavailable
from ..models import Schedule, ScheduleSlot
from ..runtime import current
from ..signing import peek
from ..tasks.new_tasks import prepare
from . import overlap, rules
from .datetimes import instant, read, shown, write
from .error_text import error_text
from .failures import Failures
from .outbox import STALE, TICK_BYTES

if TYPE_CHECKING:
    from django.db.utils import Error

    from ..conf import Conf
    from .outbox import Outbox

logger = logging.getLogger("qcore.scheduler")

T = TypeVar("T")

#: Slots of one schedule that one tick fires when it catches up.
BURST = 100

#: Bytes of packages that one INSERT carries, unless a single package has more. MariaDB
#: takes 16 MiB in a statement by default, escapes included.
STATEMENT_BYTES = 4 * 1024 * 1024

#: A run that is later than this was missed, for a schedule that skips what it missed:
#: a cluster that was replaced is back by then.
LATE = dt.timedelta(minutes=1)

#: A run that waits for the run before is looked at again after this.
SOON = dt.timedelta(seconds=1)

#: A slot that was sent: the key of its schedule, and its second.
Mark = tuple[int, dt.datetime]


class Plan(msgspec.Struct, frozen=True):
    """Which slots of one schedule are due."""

    row: Schedule
    anchor: dt.datetime | None
    due: Sequence[dt.datetime]
    following: dt.datetime | None
    skipped: str = ""  # what there is to say of a run that is left out


class Fired(msgspec.Struct, frozen=True):
    """The outcome of one due schedule."""

    row: Schedule
    slots: Sequence[ScheduleSlot]
    task: str | None  # id of the last task; None where no slot is new
    anchor: dt.datetime | None
    following: dt.datetime | None  # the next slot; None: there is no more
    repeated: str  # what there is to say of slots that were sent before

    @property
    def is_over(self) -> bool:
        """Whether the schedule must be deleted: its only run is over."""
        if self.row.declared:
            return False  # it is the code's: its row goes when its declaration does
        return self.following is None and self.row.repeats < 0 and not self.repeated

    def changes(self) -> dict[str, Any]:
        """Return the columns of the row that change."""
        row, left = self.row, self.row.repeats
        if left > 0:
            left = max(0, left - len(self.slots))
        changes = {
            "next_run": write(self.following) if self.following else row.next_run,
            "anchor": write(self.anchor) if self.anchor else None,
            "repeats": left if self.following else 0,
            "error": self.repeated,
            "tries": 0,
            "retry_at": None,
        }
        return changes if self.task is None else changes | {"task": self.task}


class Firing:
    """Fires schedules of one cluster.

    Args:
        conf: its settings.
        database: alias of the database that has the schedules.
        outbox: what will send the slots.
    """

    def __init__(self, conf: Conf, database: str, outbox: Outbox) -> None:
        self._conf = conf
        self._database = database
        self._outbox = outbox
        #: The schedules that cannot be fired.
        self.failures = Failures(database)
        #: Whether nothing of the last call was due: without USE_TZ, the hour that comes
        #: twice looks due before it is.
        self.is_early = False

    def fire(self, rows: Sequence[Schedule], now: dt.datetime) -> Error | None:
        """Fire schedules, and write the error of a wrong schedule into its row.

        Returns:
            An error of the database that may pass, where one schedule was not fired
            because of it; the next tick tries it again.

        Raises:
            django.db.Error: the database does not answer.
        """
        self.is_early = True
        ready = list(self._ready(rows, now))
        if not ready:
            return None
        try:
            self._write(ready)
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            self.failures.ask_database(error)
            if len(ready) > 1:
                return self._write_each(ready, now)
            return self.failures.blame(ready[0].row, error, now)
        self.failures.forget_all()
        return None

    # -- before the transaction --------------------------------------------------
    def _ready(self, rows: Sequence[Schedule], now: dt.datetime) -> Iterator[Fired]:
        """Yield what is to be fired; a tick that leaves some is followed at once."""
        plans = [
            plan
            for row in rows
            if (plan := self._guarded(row, now, partial(self._plan, row, now)))
        ]
        if not plans:
            return
        self.is_early = False
        gone = self._fired_before(plans)
        room = TICK_BYTES
        for plan in plans:
            if room <= 0:
                return
            make = partial(self._build, plan, gone, room)
            found = self._guarded(plan.row, now, make)
            if found is not None:
                room -= sum(len(slot.package) for slot in found.slots)
                yield found

    def _guarded(
        self, row: Schedule, now: dt.datetime, make: Callable[[], T | None]
    ) -> T | None:
        """Return what is made of a schedule; None, and its error noted, where it fails."""
        try:
            return make()
        except BaseException as error:  # receivers may raise CancelledError
            if isinstance(error, KeyboardInterrupt):
                raise
            if not isinstance(error, QcoreError):
                logger.exception("schedule %s cannot be fired", row)
            self.failures.note(row, error, now)
            self.is_early = False
            return None

    def _plan(self, row: Schedule, now: dt.datetime) -> Plan | None:
        before = None
        if overlap.is_exclusive(row):
            try:
                before = overlap.open_run(row)
            except StoreUnavailable as error:
                self._wait(row, now, error_text(error))
                return None
            if before is not None and row.overlap == overlap.QUEUE:
                self._wait(row, now, f"the run before (task {before}) goes on")
                return None
        rule = row.entry.rule(self._conf)
        left = row.repeats if row.repeats > 0 else BURST
        if row.overlap == overlap.QUEUE:
            left = 1  # one after the other
        due, following = rules.due_slots(
            rule,
            read(row.next_run),
            instant(now),
            catch_up=self._conf.catch_up if row.missed is None else row.missed == "all",
            limit=min(BURST, left),
        )
        if not due:
            return None
        if row.missed == "skip":
            due = [slot for slot in due if instant(now) - slot <= LATE]
        if row.ends is not None:
            end = read(row.ends)
            due = [slot for slot in due if slot <= end]
            following = following if following and following <= end else None
        skipped = ""
        if row.overlap == overlap.SKIP:
            due = due[-1:]
            if before is not None and due:
                skipped, due = _skipped(due[-1], before), []
        return Plan(row, rule.anchor, due, following, skipped)

    def _wait(self, row: Schedule, now: dt.datetime, why: str) -> None:
        """Look at a schedule again soon: its next run must not begin yet."""
        logger.debug("schedule %s waits: %s", row, why)
        same = Schedule.objects.using(self._database).filter(
            pk=row.pk, next_run=row.next_run
        )
        same.update(retry_at=now + SOON)

    def _fired_before(self, plans: Sequence[Plan]) -> dict[Mark, str]:
        """Return the slots that were sent already, and the ids of their tasks.

        Somebody has set ``next_run`` back, knowingly or with a form that was old.
        """
        slots = ScheduleSlot.objects.using(self._database).filter(
            schedule_id__in=[plan.row.pk for plan in plans],
            slot__in={mark(slot) for plan in plans for slot in plan.due},
        )
        found = slots.values_list("schedule_id", "slot", "task_id")
        return {(key or 0, slot): task for key, slot, task in found}

    def _build(self, plan: Plan, gone: dict[Mark, str], room: int) -> Fired:
        row, due, following = plan.row, plan.due, plan.following
        slots: list[ScheduleSlot] = []
        for place, slot in enumerate(due):
            if room <= 0:  # never before the first
                due, following = due[:place], slot
                break
            if (row.pk, mark(slot)) not in gone:
                slots.append(self._slot(row, slot))
                room -= len(slots[-1].package)
        again = [slot for slot in due if (row.pk, mark(slot)) in gone]
        return Fired(
            row=row,
            slots=slots,
            task=slots[-1].task_id if slots else None,
            anchor=plan.anchor,
            following=following,
            repeated=_repeated(again, gone[row.pk, mark(again[0])])
            if again
            else plan.skipped,
        )

    def _slot(self, row: Schedule, slot: dt.datetime) -> ScheduleSlot:
        task = row.entry.task(self._conf, row.pk, slot)
        if fault := queue_fault(task.queue):
            raise EnqueueError(f"the name of its queue {fault}.")
        prepared = prepare(task)
        package, sent = b"", None
        if prepared is None:
            sent = (
                timezone.now()
            )  # by a plugin: the slot has fired, and nothing is sent
        else:
            package = current.signer.sign(prepared)
            self._outbox.check(task.queue, package)
            if overlap.is_exclusive(row):
                overlap.track(prepared)
        return ScheduleSlot(
            schedule_id=row.pk,
            slot=mark(slot),
            task_id=task.id,
            queue=task.queue,
            package=package,
            sent=sent,
            claimed=_put_off(row.jitter) if row.jitter else None,
        )

    # -- the transaction ---------------------------------------------------------
    def _write(self, ready: Sequence[Fired]) -> None:
        with transaction.atomic(self._database):
            moved = [one for one in ready if self._move(one)]
            slots = [slot for one in moved for slot in one.slots]
            for part in _parts(slots):
                ScheduleSlot.objects.using(self._database).bulk_create(
                    part,
                    # a slot that has fired stays fired
                    ignore_conflicts=True,
                )
            # after their slots, which lose a schedule that is no more
            if over := [one.row.pk for one in moved if one.is_over]:
                Schedule.objects.using(self._database).filter(pk__in=over).delete()
        if len(moved) < len(ready):
            done = {id(one) for one in moved}
            self._free_unwritten([one for one in ready if id(one) not in done])
        for one in moved:
            if one.repeated:
                logger.warning("schedule %s: %s", one.row, one.repeated)

    def _free_unwritten(self, left: Sequence[Fired]) -> None:
        """Tell plugins of tasks that are never sent: somebody has changed their schedule.

        A slot that another cluster was faster with is there, and its task is the same.
        """
        ledger = current.ledger
        if not current.registry.features.before_send or ledger is None:
            return
        slots = ScheduleSlot.objects.using(self._database)
        tasks = [
            peek(bytes(slot.package))
            for one in left
            for slot in one.slots
            if slot.package
            and not slots.filter(
                schedule_id=slot.schedule_id or 0, slot=slot.slot
            ).exists()
        ]
        try:
            ledger.unsent(tasks)
        except Exception as error:  # noqa: BLE001 - the others have fired
            logger.warning("plugins do not know what is not sent: %s", error)

    def _move(self, one: Fired) -> bool:
        """Move a schedule on; return False where somebody else was faster.

        First the UPDATE: it has the row's lock (on SQLite the database's) when the slots
        are written. What is wrong with a schedule has been found before, so nothing of it
        needs to be undone.
        """
        row = one.row
        same = Schedule.objects.using(self._database).filter(
            pk=row.pk,
            next_run=row.next_run,
            repeats=row.repeats,
            func=row.func,
            paused=False,
        )
        return same.update(**one.changes()) > 0

    def _write_each(self, ready: Sequence[Fired], now: dt.datetime) -> Error | None:
        passing: Error | None = None
        for one in ready:
            try:
                self._write([one])
            except Exception as error:  # noqa: BLE001 - as above
                self.failures.ask_database(error)
                passing = self.failures.blame(one.row, error, now) or passing
            else:
                self.failures.forget(one.row)
        return passing


def mark(slot: dt.datetime) -> dt.datetime:
    """Return a slot as columns store it: without fractions of a second.

    The form of the admin has no fractions of a second, and a slot that comes back from
    it must be the same one.
    """
    return write(slot.replace(microsecond=0))


def _put_off(jitter: int) -> dt.datetime:
    """Return a claim that goes stale in a while: then some cluster sends the slot."""
    wait = dt.timedelta(seconds=random.uniform(0, jitter))  # noqa: S311 - no secret
    return timezone.now() + wait - STALE


def _repeated(again: Sequence[dt.datetime], task: str) -> str:
    more = f" and {len(again) - 1} more" if len(again) > 1 else ""
    return (
        f"next_run was set back to {shown(again[0]).isoformat(' ')}{more}: this run was sent"
        f" before (task {task}), and is not sent again. Set next_run to another time for"
        " one more run."
    )


def _skipped(slot: dt.datetime, task: str) -> str:
    return (
        f"the run of {shown(slot).isoformat(' ')} is left out (overlap='skip'): the run"
        f" before (task {task}) has not ended."
    )


def _parts(slots: Sequence[ScheduleSlot]) -> Iterator[list[ScheduleSlot]]:
    part: list[ScheduleSlot] = []
    size = 0
    for slot in slots:
        if part and size + len(slot.package) > STATEMENT_BYTES:
            yield part
            part, size = [], 0
        part.append(slot)
        size += len(slot.package)
    if part:
        yield part
