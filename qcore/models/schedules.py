"""The tables of schedules, and of the slots that they have fired."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from ..conf.names import label_fault, queue_fault
from ..errors import ConfigError
from ..results.rows import NAME, PATH
from ..runtime import current
from ..schedules import changes, rules
from ..schedules.datetimes import given, instant, read, write, year_fault
from ..schedules.entry import Entry
from .changed_columns import ChangedColumns
from .fields import BodyField, IdField, WordField
from .schedule_queries import ScheduleQuerySet

if TYPE_CHECKING:
    from ..results.base import Record

#: Columns in which an empty text means nothing.
_TEXTS = (
    *("name", "hook", "cron", "cluster"),
    *("intended_date_kwarg", "tz", "missed", "overlap"),
)


class Schedule(ChangedColumns):
    """A task that is enqueued at set times."""

    ONCE = rules.ONCE
    SECONDS = rules.SECONDS
    MINUTES = rules.MINUTES
    HOURLY = rules.HOURLY
    DAILY = rules.DAILY
    WEEKLY = rules.WEEKLY
    BIWEEKLY = rules.BIWEEKLY
    MONTHLY = rules.MONTHLY
    BIMONTHLY = rules.BIMONTHLY
    QUARTERLY = rules.QUARTERLY
    YEARLY = rules.YEARLY
    CRON = rules.CRON
    TYPE = tuple(rules.LABELS.items())

    name = WordField(max_length=NAME, null=True, blank=True)
    #: 0, except where a plugin for projects that came from elsewhere stores another
    #: schedule of the same name: qcore itself makes each name once.
    namesake = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    func = WordField(
        "function", max_length=PATH, help_text="dotted path: module.tasks.function"
    )
    hook = WordField(
        max_length=PATH,
        null=True,
        blank=True,
        help_text="dotted path of what is called with the result",
    )
    args = BodyField(blank=True, default="", help_text='JSON: [1, "two"]')
    kwargs = BodyField(blank=True, default="", help_text='JSON: {"x": 1}')
    schedule_type = WordField(max_length=2, choices=TYPE, default=ONCE)
    minutes = models.PositiveIntegerField(
        null=True, blank=True, help_text="minutes between two runs, for type Minutes"
    )
    repeats = models.IntegerField(
        default=-1, help_text="n more runs; -1: for ever; 0: no more"
    )
    next_run = models.DateTimeField(blank=True, help_text="empty: as soon as may be")
    anchor = models.DateTimeField(null=True, editable=False)
    cron = WordField(
        max_length=100,
        null=True,
        blank=True,
        help_text="five fields: minute hour day-of-month month day-of-week, for Cron",
    )
    task = WordField("last task", max_length=32, null=True, editable=False)
    cluster = WordField(
        max_length=NAME,
        null=True,
        blank=True,
        help_text="name of the cluster that runs it; empty: the project's own",
    )
    intended_date_kwarg = WordField(
        max_length=NAME,
        null=True,
        blank=True,
        help_text="keyword argument that gets the time the run was meant for",
    )
    paused = models.BooleanField(default=False)
    error = BodyField(blank=True, default="", editable=False)
    tries = models.IntegerField(default=0, editable=False)
    retry_at = models.DateTimeField(null=True, editable=False)
    #: The code has written this row, and changes it.
    declared = models.BooleanField(default=False, db_default=False, editable=False)
    #: Said by the code alone: others say the first run by ``next_run``.
    starts = models.DateTimeField(null=True, editable=False)
    seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="seconds between two runs, for type Seconds"
    )
    tz = WordField(
        "time zone",
        max_length=NAME,
        null=True,
        blank=True,
        help_text="such as Europe/Paris; empty: that of the project",
    )
    ends = models.DateTimeField(
        null=True, blank=True, help_text="no run after it; empty: it goes on"
    )
    missed = WordField(
        "missed runs",
        max_length=8,
        null=True,
        blank=True,
        choices=[(one, one) for one in ("one", "all", "skip")],
        help_text="for runs that no cluster was there to send: one for all of them, all, or"
        " none that is over a minute late; empty: as the setting catch_up says",
    )
    jitter = models.PositiveIntegerField(
        "jitter (seconds)",
        default=0,
        db_default=0,
        blank=True,
        help_text="each run is put off at random by so long at most",
    )

    overlap = WordField(
        max_length=8,
        null=True,
        blank=True,
        choices=[(one, one) for one in ("allow", "skip", "queue")],
        help_text="a run that is due while the run before has not ended: both run, the new"
        " one is left out, or it waits; empty: both run",
    )

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["next_run", "id"]
        verbose_name = "scheduled task"
        indexes: ClassVar = [
            models.Index(fields=["next_run"], name="qcore_schedule_next")
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["name", "namesake"],
                name="qcore_schedule_name",
            )
        ]

    def __str__(self) -> str:
        return str(self.name or self.func)

    _watched = changes.WATCHED
    _shared = changes.SHARED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not args and kwargs.get("schedule_type") is None:
            kwargs.pop("schedule_type", None)
            kind = rules.infer_type(None, kwargs.get("cron"), kwargs.get("minutes"))
            if kind == rules.ONCE and kwargs.get("seconds") is not None:
                kind = rules.SECONDS
            kwargs["schedule_type"] = kind
        super().__init__(*args, **kwargs)

    def save(
        self,
        *,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Store it.

        Without ``next_run``, a cron runs at its next slot, others now. Where type, cron or
        minutes were changed and ``next_run`` was not, the next run is the first slot of the
        new rule. What a cluster has written since the row was read, and nobody has changed
        here, stays.

        Raises:
            ConfigError: type, minutes and cron make no rule, or a name cannot be stored.
            Schedule.DoesNotExist: its row has gone since it was read.
        """
        written = None if update_fields is None else set(update_fields)
        self._settle(written)
        here = using is None or using == self._state.db
        if written is None and here and not force_insert:
            written = self._changed()
            if written is not None and self._is_gone(using):
                if "next_run" not in written:
                    raise Schedule.DoesNotExist(
                        f"the schedule {self} no longer exists: it has run once, or was"
                        " deleted. Set another next_run to store the schedule again."
                    )
                written = None
        super().save(
            force_insert=force_insert,
            force_update=force_update,
            using=using,
            update_fields=written,
        )
        self._remember(written)

    def _settle(self, written: set[str] | None = None) -> None:
        """Put right what is about to be stored; further columns go to ``written``."""
        own = self.__dict__
        for field in _TEXTS:
            if field in own:
                setattr(self, field, own[field] or None)
        if own.get("jitter", 0) is None:  # an empty field of a form
            self.jitter = 0
        self._refuse_names()
        if "next_run" not in own or hasattr(own["next_run"], "resolve_expression"):
            return
        now = timezone.now()
        if self.next_run is None:
            self.next_run = write(self.entry.first_run(current.conf, instant(now)))
        else:
            moment = _NEXT_RUN.to_python(self.next_run)
            self.next_run = given(moment, current.conf)
            if not changes.calls_for_a_next_run(self._seen, own, written, now):
                return
            self._renew(now)
        if written is not None:
            written |= {"next_run", "anchor"}

    def _renew(self, now: dt.datetime) -> None:
        following, anchor = self.entry.renewed(current.conf, instant(now))
        self.next_run = write(following)
        self.anchor = write(anchor) if anchor is not None else None

    def _refuse_names(self) -> None:
        for field, fault in (("name", label_fault), ("cluster", queue_fault)):
            name = self.__dict__.get(field)
            if name is not None and (told := fault(name)):
                raise ConfigError(f"a schedule cannot be stored: its {field} {told}.")

    @property
    def entry(self) -> Entry:
        """What it says, apart from the table: for checking it and for firing it."""
        return Entry(
            name=self.name or None,
            label=self.name or str(self.pk),
            func=self.func,
            hook=self.hook or None,
            args=self.args,
            kwargs=self.kwargs,
            type=self.schedule_type,
            minutes=self.minutes,
            cron=self.cron or None,
            next_run=_instant(self.next_run),
            anchor=_instant(self.anchor),
            cluster=self.cluster or None,
            intended_date_kwarg=self.intended_date_kwarg or None,
            seconds=self.seconds,
            tz=self.tz or None,
            is_tracked=self.overlap in ("skip", "queue"),
        )

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Refuse a name that another schedule has."""
        try:
            # no form shows `namesake`, and it is part of what is compared
            super().validate_constraints(exclude={*(exclude or ())} - {"namesake"})
        except ValidationError as error:
            told = "A scheduled task with this name already exists."
            raise ValidationError({"name": told}) from error

    def clean(self) -> None:
        """Refuse what could not be fired; what can be is tried again at once."""
        super().clean()
        if wrong := year_fault(self.next_run):
            raise ValidationError({"next_run": wrong})
        found = self.entry.problems(current.conf)
        if self.entry.is_tracked and current.tracker is None:
            found["overlap"] = (
                "needs tracked tasks, which are kept in a database: see Q_CLUSTER['ledger']."
            )
        if found:
            raise ValidationError(cast("dict[str, Any]", found))
        self.error, self.tries, self.retry_at = "", 0, None

    def calculate_next_run(
        self, next_run: dt.datetime | None = None
    ) -> dt.datetime | None:
        """Return the first slot after a moment (default: its ``next_run``), or None."""
        rule = self.entry.rule(current.conf)
        after = _instant(next_run or self.next_run)
        following = None if after is None else rules.next_run(rule, after)
        return None if following is None else write(following)

    def next_runs(self, count: int = 5) -> list[dt.datetime]:
        """Return its next runs, ``count`` at most: none where it is paused or over.

        They are in UTC, or wall time where ``USE_TZ`` is False.

        Raises:
            ConfigError: type, minutes and cron make no rule, or the year of the next run
                cannot be reckoned with.
        """
        if self.paused or self.repeats == 0:
            return []
        count = min(count, self.repeats) if self.repeats > 0 else count
        try:
            return self._next_runs(count)
        except (
            OverflowError
        ):  # the first or the last year of the calendar, in some zone
            raise ConfigError(
                f"the next run, {self.next_run}, is too near to the end of the calendar:"
                " expected a year from 2 to 9998"
            ) from None

    def _next_runs(self, count: int) -> list[dt.datetime]:
        entry = self.entry
        found: list[dt.datetime] = []
        rule, slot = entry.rule(current.conf), entry.next_run
        while slot is not None and len(found) < count:
            if self.ends is not None and slot > read(self.ends):
                break
            # a rule has the zone of its expression, the first slot that of the database
            found.append(
                write(slot if slot.tzinfo is None else slot.astimezone(dt.UTC))
            )
            slot = rules.next_run(rule, slot)
        return found

    def has_fired(self, slot: dt.datetime) -> bool:
        """Return whether it has fired a slot, as far as slots are remembered: a day."""
        second = write(read(slot).replace(microsecond=0))
        slots = ScheduleSlot.objects.using(self._state.db)
        return slots.filter(schedule_id=self.pk, slot=second).exists()

    def last_run(self) -> Record | None:
        """Return the stored result of the last run, if there is one.

        Raises:
            StoreError: the result store cannot be asked now.
        """
        return current.store().fetch(self.task) if self.task else None

    def success(self) -> bool | None:
        """Return whether the last run succeeded; None while nothing is known."""
        task = self.last_run()
        return None if task is None else task.success


_NEXT_RUN = cast("models.DateTimeField[Any, Any]", Schedule._meta.get_field("next_run"))  # noqa: SLF001 - Django's way


def _instant(moment: Any) -> dt.datetime | None:
    if not isinstance(moment, dt.datetime):
        return None
    return read(given(moment, current.conf))


class ScheduleSlot(models.Model):
    """One slot that a schedule has fired, and its package until that is sent.

    The unique pair makes a slot fire once however many clusters see it. The row is
    written in the transaction that moves the schedule on, so neither a crash nor a
    broker that is down loses or doubles it.
    """

    schedule = models.ForeignKey(Schedule, models.SET_NULL, null=True)
    slot = models.DateTimeField()
    task_id = IdField(max_length=32, unique=True)
    queue = WordField(max_length=255)
    package = models.BinaryField()
    claimed = models.DateTimeField(null=True)
    sent = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["schedule", "slot"], name="qcore_slot_fires_once"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["sent"], name="qcore_slot_sent")]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.slot.isoformat()}"
