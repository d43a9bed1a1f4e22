"""The scheduler whose schedules are rows of the project's database."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, router, transaction
from django.db.utils import Error
from django.utils import timezone

from .. import envelope
from ..current import current
from ..errors import EnqueueError, QcoreError, StoreError
from ..models import Schedule, ScheduleSlot
from ..tasks.functions import path_of
from . import rules
from .base import Scheduler
from .entry import encode_call
from .outbox import Outbox
from .outlook import Outlook

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from ..conf import Conf

logger = logging.getLogger("qcore.scheduler")

#: Slots of one schedule that one tick fires when it catches up.
BURST = 100

#: Schedules that one tick fires in one transaction, and sends. With a transaction for each
#: of a thousand that are due at once, and all of them first, none was sent for 6 s.
PORTION = 100

#: Seconds between two looks at the table: a new schedule is seen within this. A look costs
#: an idle cluster 0.6 ms of CPU, four times as much as one of many in a row, for nothing of
#: it is in the processor's caches.
LOOK = 2.0

#: A schedule that cannot be fired is tried again after this, doubled each time ...
RETRY = dt.timedelta(minutes=1)
#: ... and paused, with its error, after so many tries.
MAX_TRIES = 5

#: Seconds between two times that old slots are forgotten.
FORGET = 60.0

#: Keywords of ``schedule`` that are columns of the table.
OPTIONS = (
    "name",
    "hook",
    "schedule_type",
    "minutes",
    "repeats",
    "next_run",
    "cron",
    "cluster",
    "intended_date_kwarg",
)


class DoubleName(EnqueueError, IntegrityError):
    """A schedule of that name is there; an IntegrityError, as django-q's users know."""


class OrmScheduler(Scheduler):
    """Fires the rows of ``Schedule`` that belong to this cluster.

    Any number of clusters may tick at once. Whoever moves ``next_run`` on, with an
    UPDATE that compares it first, has fired the slot.
    """

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        self.database = router.db_for_write(Schedule)
        self._outbox = Outbox(self.database)
        self._outlook = Outlook(conf, self.database)
        self._forget_at = time.monotonic() + FORGET

    def prepare(self) -> None:
        self._outlook.prepare()

    def tick(self) -> float:
        with self._errors("fire schedules"):
            now = timezone.now()
            # nearly always this is all that an idle cluster does
            ahead = self._outlook.look(now)
            is_due = ahead.next_run is not None and ahead.next_run <= now
            if is_due:
                self._fire_some(now)
            if is_due or ahead.is_unsent:
                # what has fired here, or where a cluster died before it was sent
                self._outbox.send()
            if time.monotonic() >= self._forget_at:
                self._forget_at = time.monotonic() + FORGET
                self._outbox.forget()
            if is_due:
                now = timezone.now()
                ahead = self._outlook.look(now)
            if ahead.next_run is None:
                return LOOK
            return min(LOOK, max(0.0, (ahead.next_run - now).total_seconds()))

    # -- firing --------------------------------------------------------------
    def _fire_some(self, now: dt.datetime) -> None:
        """Fire what is due, PORTION at most; a tick that leaves some is followed at once."""
        with transaction.atomic(self.database):
            portion = _Portion()
            for row in list(self._due(now)[:PORTION]):
                self._try(row, now, portion)
            ScheduleSlot.objects.using(self.database).bulk_create(
                portion.slots,
                # a slot that has fired stays fired, even if next_run was set back to it
                ignore_conflicts=True,
            )
            # after their slots, which lose a schedule that is no more
            if portion.over:
                rows = Schedule.objects.using(self.database)
                rows.filter(pk__in=portion.over).delete()

    def _due(self, now: dt.datetime) -> QuerySet[Schedule]:
        rows = Schedule.objects.using(self.database).active(self.conf).ready(now)
        return rows.filter(next_run__lte=now).order_by("next_run", "pk")

    def _try(self, row: Schedule, now: dt.datetime, portion: _Portion) -> None:
        """Fire one schedule; what is wrong with it is written on it."""
        try:
            self._fire(row, now, portion)
        except Error:
            # the database's fault and not the schedule's
            raise
        except Exception as error:
            if not isinstance(error, QcoreError):
                logger.exception("schedule %s cannot be fired", row)
            self._note(row, error, now)

    def _fire(self, row: Schedule, now: dt.datetime, portion: _Portion) -> None:
        entry = row.entry
        rule = entry.rule(self.conf)
        left = row.repeats if row.repeats > 0 else BURST
        slots, following = rules.due_slots(
            rule, row.next_run, now, self.conf.catch_up, limit=min(BURST, left)
        )
        tasks = [entry.task(self.conf, row.pk, slot) for slot in slots]
        fired = _slots(row, slots, tasks)
        repeats = max(0, row.repeats - len(slots)) if row.repeats > 0 else row.repeats
        # First the UPDATE: it has the row's lock (on SQLite the database's) when the
        # slots are written, and no row if somebody else was faster. What is wrong with a
        # schedule has been found before, so nothing of it needs to be undone.
        moved = Schedule.objects.using(self.database).filter(
            pk=row.pk, next_run=row.next_run, repeats=row.repeats, func=row.func
        )
        if not moved.update(
            next_run=following or row.next_run,
            anchor=rule.anchor,
            repeats=repeats if following else 0,
            task=tasks[-1].id,
            error="",
            tries=0,
            retry_at=None,
        ):
            return
        portion.slots += fired
        if following is None and row.repeats < 0:
            portion.over.append(row.pk)

    def _note(self, row: Schedule, error: Exception, now: dt.datetime) -> None:
        tries = row.tries + 1
        paused = tries >= MAX_TRIES
        text = f"{type(error).__name__}: {error}"
        Schedule.objects.using(self.database).filter(
            pk=row.pk, next_run=row.next_run
        ).update(
            error=text,
            tries=tries,
            retry_at=now + RETRY * 2 ** (tries - 1),
            paused=paused,
        )
        logger.error("schedule %s cannot be fired%s: %s", row,
                     ", and is paused" if paused else "", text)  # fmt: skip

    # -- for the API -----------------------------------------------------------
    def schedule(self, func: Any, args: tuple[Any, ...], **options: Any) -> Schedule:
        columns = {name: options.pop(name) for name in OPTIONS if name in options}
        if columns.get("hook") is not None:
            columns["hook"] = path_of(columns["hook"])
        positional, keywords = encode_call(args, options)
        row = Schedule(func=path_of(func), args=positional, kwargs=keywords, **columns)
        try:
            row.full_clean(validate_unique=False)
        except ValidationError as error:
            raise EnqueueError(f"cannot schedule {row.func}: {_told(error)}") from error
        with self._errors("store a schedule"):
            self._refuse_double(row.name)
            try:
                with transaction.atomic(self.database):
                    row.save(using=self.database)
            except IntegrityError:
                self._refuse_double(row.name)
                raise
        return row

    def _refuse_double(self, name: str | None) -> None:
        rows = Schedule.objects.using(self.database)
        if name is not None and rows.filter(name=name).exists():
            raise DoubleName(
                f"there is a schedule called {name!r} already. Choose another name, or"
                " change that one."
            )

    def close(self) -> None:
        connections[self.database].close()

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Raise what the database raises as StoreError; let a broken connection go."""
        try:
            yield
        except QcoreError:
            raise
        except Error as error:
            connection = connections[self.database]
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
            raise StoreError(
                f"cannot {what} in database {self.database!r}:"
                f" {type(error).__name__}: {error}"
            ) from error


@dataclass(slots=True)
class _Portion:
    """What one tick has fired."""

    slots: list[ScheduleSlot] = field(default_factory=list)
    over: list[int] = field(default_factory=list)  # keys of schedules that have no more


def _slots(
    row: Schedule, slots: list[dt.datetime], tasks: list[envelope.Task]
) -> list[ScheduleSlot]:
    sign = current.signer.sign
    return [
        ScheduleSlot(
            schedule_id=row.pk,
            slot=slot,
            task_id=task.id,
            queue=task.queue,
            package=sign(task),
        )
        for slot, task in zip(slots, tasks, strict=True)
    ]


def _told(error: ValidationError) -> str:
    """Return the messages of a ValidationError in one line."""
    return " ".join(
        f"{field}: {text}" if field != "__all__" else text
        for field, texts in error.message_dict.items()
        for text in texts
    )
