"""The scheduler whose schedules are rows of the project's database."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, router, transaction
from django.db.utils import Error
from django.utils import timezone

from ..errors import ConfigError, EnqueueError, QcoreError, StoreError
from ..models import Schedule
from ..models.missing_tables import migrate_advice
from ..runtime import current
from ..tasks.calls import unambiguous
from ..tasks.functions import path_of
from . import rules
from .base import Scheduler
from .columns import columns_of
from .entry import encode_call
from .firing import Firing
from .outbox import Outbox
from .outlook import Outlook

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from ..conf import Conf

logger = logging.getLogger("qcore.scheduler")

#: Schedules that one tick fires in one transaction, and sends. With a transaction for each
#: of a thousand that are due at once, and all of them first, none was sent for 6 s.
PORTION = 100

#: Seconds between two looks at the table: a new schedule is seen within this. A look costs
#: an idle cluster 0.6 ms of CPU, four times as much as one of many in a row, for nothing of
#: it is in the processor's caches.
LOOK = 2.0

#: Seconds between two times that old slots are forgotten, and between two where the
#: first has left some.
FORGET = 60.0
SOON = 1.0


class DoubleName(EnqueueError, IntegrityError):
    """A schedule of that name is there; an IntegrityError, as django-q's users know."""


class OrmScheduler(Scheduler):
    """Fires the rows of ``Schedule`` that belong to this cluster.

    Any number of clusters may tick at once. Whoever moves ``next_run`` on, with an
    UPDATE that compares it first, has fired the slot.
    """

    supports_counts = True

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        self.database = router.db_for_write(Schedule)
        self._outbox = Outbox(self.database)
        self._firing = Firing(conf, self.database, self._outbox)
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
            passing = self._fire_some(now) if is_due else None
            waits = False
            if is_due or ahead.is_unsent:
                # what has fired here, or where a cluster died before it was sent
                waits = self._outbox.send()
            if time.monotonic() >= self._forget_at:
                more = self._outbox.forget()
                self._forget_at = time.monotonic() + (SOON if more else FORGET)
            if passing is not None:
                raise passing
            if waits:
                return 0.0
            if is_due:
                now = timezone.now()
                ahead = self._outlook.look(now)
            if ahead.next_run is None:
                return LOOK
            if is_due and self._firing.is_early and ahead.next_run <= now:
                return LOOK
            return min(LOOK, max(0.0, (ahead.next_run - now).total_seconds()))

    def next_due(self) -> float | None:
        with self._errors("look at schedules"):
            now = timezone.now()
            ahead = self._outlook.look(now)
            if ahead.next_run is None:
                return None
            return max(0.0, (ahead.next_run - now).total_seconds())

    # -- firing --------------------------------------------------------------
    def _fire_some(self, now: dt.datetime) -> Error | None:
        """Fire what is due, PORTION at most; a tick that leaves some is followed at once."""
        current.broker()  # where there is none, no schedule is the reason
        due = self._due(now).exclude(pk__in=self._firing.failures.resting())
        return self._firing.fire(list(due[:PORTION]), now)

    def _due(self, now: dt.datetime) -> QuerySet[Schedule]:
        rows = Schedule.objects.using(self.database).active(self.conf).ready(now)
        return rows.filter(next_run__lte=now).order_by("next_run", "pk")

    # -- for the API -----------------------------------------------------------
    def schedule(self, func: Any, args: tuple[Any, ...], **options: Any) -> Schedule:
        path = path_of(func)
        columns = columns_of(options)
        try:
            columns["schedule_type"] = rules.infer_type(
                columns.get("schedule_type"),
                columns.get("cron"),
                columns.get("minutes"),
            )
        except ConfigError as error:
            raise EnqueueError(f"cannot schedule {path}: {error}") from error
        positional, keywords = encode_call(args, unambiguous(options, func))
        row = Schedule(func=path, args=positional, kwargs=keywords, **columns)
        try:
            row.full_clean(validate_unique=False, validate_constraints=False)
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
        if row.cluster:
            current.tell(current.doubt_of(row.cluster))
        return row

    def count(self) -> int:
        with self._errors("count schedules"):
            return Schedule.objects.using(self.database).count()

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
            migrate = migrate_advice(error, self.database)
            raise StoreError(
                f"cannot {what} in database {self.database!r}:"
                f" {type(error).__name__}: {error}{migrate and f'. {migrate}'}"
            ) from error


def _told(error: ValidationError) -> str:
    """Return the messages of a ValidationError in one line."""
    return " ".join(
        f"{field}: {text}" if field != "__all__" else text
        for field, texts in error.message_dict.items()
        for text in texts
    )
