"""The tables of schedules, and of the slots that they have fired."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from ..current import current
from ..fields import BodyField, IdField, WordField
from ..results.rows import NAME, PATH
from ..schedules import rules
from ..schedules.entry import Entry
from .tasks import Task

if TYPE_CHECKING:
    from ..conf import Conf


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    """Schedules, and which of them a cluster has to look after."""

    def active(self, conf: Conf) -> ScheduleQuerySet:
        """Return the schedules that the cluster of ``conf`` may fire."""
        mine = Q(cluster=conf.queue)
        if conf.queue == conf.name:
            mine |= Q(cluster=None)
        return self.filter(mine, paused=False).exclude(repeats=0)

    def ready(self, now: dt.datetime) -> ScheduleQuerySet:
        """Return the schedules that are not waiting to be tried again."""
        return self.filter(Q(retry_at=None) | Q(retry_at__lte=now))


class Schedule(models.Model):
    """A task that is enqueued at set times."""

    ONCE = rules.ONCE
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

    name = WordField(max_length=NAME, null=True, blank=True, unique=True)
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

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["next_run", "id"]
        verbose_name = "scheduled task"
        indexes: ClassVar = [
            models.Index(fields=["next_run"], name="qcore_schedule_next")
        ]

    def __str__(self) -> str:
        return str(self.name or self.func)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it; without ``next_run``, a cron runs at its next slot, others now."""
        for field in ("name", "hook", "cron", "cluster", "intended_date_kwarg"):
            setattr(self, field, getattr(self, field) or None)
        if self.next_run is None:
            self.next_run = self.entry.first_run(current.conf, timezone.now())
        super().save(*args, **kwargs)

    @property
    def entry(self) -> Entry:
        """What it says, apart from the table: for checking it and for firing it."""
        return Entry(
            label=self.name or str(self.pk),
            func=self.func,
            hook=self.hook or None,
            args=self.args,
            kwargs=self.kwargs,
            type=self.schedule_type,
            minutes=self.minutes,
            cron=self.cron or None,
            next_run=self.next_run,
            anchor=self.anchor,
            cluster=self.cluster or None,
            intended_date_kwarg=self.intended_date_kwarg or None,
        )

    def clean(self) -> None:
        """Refuse what could not be fired; what can be is tried again at once."""
        super().clean()
        found = self.entry.problems(current.conf)
        if found:
            raise ValidationError(cast("dict[str, Any]", found))
        self.error, self.tries, self.retry_at = "", 0, None

    def calculate_next_run(
        self, next_run: dt.datetime | None = None
    ) -> dt.datetime | None:
        """Return the first slot after a moment (default: its ``next_run``), or None."""
        rule = self.entry.rule(current.conf)
        return rules.next_run(rule, next_run or self.next_run)

    def last_run(self) -> Task | None:
        """Return the stored result of the last run, if there is one."""
        return Task.objects.filter(id=self.task).first() if self.task else None

    def success(self) -> bool | None:
        """Return whether the last run succeeded; None while nothing is known."""
        task = self.last_run()
        return None if task is None else task.success


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
