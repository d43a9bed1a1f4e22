"""``Schedule``: names need not be unique, and arguments are text of Python literals."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Collection, Iterable
from contextlib import contextmanager
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Max, QuerySet
from django.db.utils import IntegrityError
from django.utils import timezone

from qcore.errors import ConfigError
from qcore.models import Schedule as QcoreSchedule
from qcore.models.schedule_queries import ScheduleQuerySet as QcoreQuerySet
from qcore.schedules import rules
from qcore.schedules.entry import Entry

from ..literals import NotLiterals, from_json, read_args, read_kwargs, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How each of the two columns is read, from text or from the object that it is.
_READERS: dict[str, Callable[[object], tuple[Any, ...] | dict[str, Any]]] = {
    "args": read_args,
    "kwargs": read_kwargs,
}

#: Times that a name is tried again where another process stores the same one.
_TRIES = 5


def validate_cron(value: str) -> None:
    """Refuse what is no cron expression.

    Raises:
        ValidationError: says what is wrong.
    """
    try:
        rules.next_run(
            rules.Rule(type=rules.CRON, cron=value, zone=dt.UTC), timezone.now()
        )
    except ConfigError as error:
        raise ValidationError(str(error)) from error


def validate_kwarg(value: str) -> bool:
    """Return whether a text can be the name of an argument."""
    return value.isidentifier() and not iskeyword(value)


def stored(name: str, value: object) -> str:
    """Return a column of arguments as the table has it.

    Raises:
        ValidationError: it holds something else than literals.
    """
    try:
        return to_json(_READERS[name](value))
    except NotLiterals as error:
        raise ValidationError({name: str(error)}) from error


class ScheduleQuerySet(QcoreQuerySet):
    """Takes arguments as text of literals, in conditions and in updates, too."""

    def _filter_or_exclude_inplace(
        self, negate: bool, args: Any, kwargs: dict[str, Any]
    ) -> None:
        found = dict(kwargs)
        for name in _READERS:
            for lookup in (name, f"{name}__exact"):
                if isinstance(found.get(lookup), str | tuple | list | dict):
                    found[lookup] = _or_itself(name, found[lookup])
        super()._filter_or_exclude_inplace(negate, args, found)  # type: ignore[misc]

    def update(self, **kwargs: Any) -> int:
        for name in _READERS:
            if name in kwargs and not hasattr(kwargs[name], "resolve_expression"):
                kwargs[name] = stored(name, kwargs[name])
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        rows = list(objs)
        for row in rows:
            if isinstance(row, Schedule):
                row.choose_namesake(self.db)
        return super().bulk_create(rows, *args, **kwargs)


def _or_itself(name: str, value: Any) -> Any:
    try:
        return to_json(_READERS[name](value))
    except NotLiterals:
        return value  # no row has it


class Schedule(QcoreSchedule):
    """A task that is sent at set times."""

    objects: ClassVar = ScheduleQuerySet.as_manager()

    class Meta:
        proxy = True
        app_label = "django_q"
        ordering: ClassVar = ["next_run"]
        verbose_name = "scheduled task"
        default_permissions = ("add", "change", "delete", "view")

    #: What ``args`` and ``kwargs`` were read as: the text here, and that of the table.
    _read: dict[str, tuple[str, str]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._read = {}
        if not args:
            kwargs.setdefault("schedule_type", self.ONCE)
            if "next_run" not in kwargs and kwargs["schedule_type"] != self.CRON:
                kwargs["next_run"] = timezone.now()
            for name in _READERS:
                if kwargs.get(name) is None:
                    kwargs[name] = ""
        super().__init__(*args, **kwargs)

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a schedule of a row, its arguments as text of literals."""
        row = super().from_db(*args, **kwargs)
        row._show()  # noqa: SLF001 - its own class
        return row

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Read the row again, or some of its columns."""
        super().refresh_from_db(*args, **kwargs)
        self._show()

    def _show(self) -> None:
        own = self.__dict__
        for name in _READERS:
            if name in own:
                text = own[name] or ""
                own[name] = from_json(text)
                self._read[name] = (own[name], text)

    def _stored(self, name: str) -> str:
        """Return a column as the table has it; what was read is written as it was."""
        value = self.__dict__[name]
        shown, text = self._read.get(name, (None, ""))
        return text if shown is not None and value == shown else stored(name, value)

    @contextmanager
    def as_stored(self) -> Iterator[None]:
        """Have the arguments as the table has them, for what qcore does with them."""
        own = self.__dict__
        before = {name: own[name] for name in _READERS if name in own}
        own.update({name: self._stored(name) for name in before})
        try:
            yield
        finally:
            for name, value in before.items():
                self._read[name] = (from_json(own[name]), own[name])
                own[name] = value if isinstance(value, str) else self._read[name][0]
                if isinstance(value, str) and value != self._read[name][0]:
                    # the text of the user stays, and still means the same column
                    self._read[name] = (value, own_text(self, name))

    @property
    def entry(self) -> Entry:
        """What it says, apart from the table."""
        entry = super().entry
        changed: dict[str, Any] = {
            name: _as_far_as_it_goes(self, name) for name in _READERS
        }
        if self.schedule_type == self.MINUTES and self.minutes is None:
            changed["minutes"] = 1
        if self.schedule_type not in (self.MINUTES, self.CRON):
            # django-q passes over what the type has no use for
            changed |= {"minutes": None, "cron": None}
        return dataclasses.replace(entry, **changed)

    def clean(self) -> None:
        """Refuse what could not be fired."""
        for name in _READERS:
            stored(name, self.__dict__[name])
        super().clean()

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Check the constraints, all but that names are unique: here they need not be."""
        own = {*(exclude or ()), "name"}
        models.Model.validate_constraints(self, exclude=own)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it; see ``qcore.models.Schedule.save``.

        Raises:
            ValidationError: its arguments are no literals.
            ConfigError: type, minutes and cron make no rule.
        """
        self._put_right()
        using = kwargs.get("using") or self._state.db or "default"
        with self.as_stored():
            for left in reversed(range(_TRIES)):
                self.choose_namesake(using)
                try:
                    with transaction.atomic(using):
                        super().save(*args, **kwargs)
                except IntegrityError:
                    if not left or not self.name:
                        raise
                    continue
                return

    def _put_right(self) -> None:
        """Say in the columns what django-q leaves open."""
        if self.schedule_type == self.MINUTES and self.minutes is None:
            self.minutes = 1
        if self._state.adding:
            if self.schedule_type != self.MINUTES:
                self.minutes = None
            if self.schedule_type != self.CRON:
                self.cron = None

    def choose_namesake(self, using: str) -> None:
        """Give a new schedule a number of its own among those of its name."""
        own = self.__dict__
        moved = self._seen.get("name", None) != own.get("name")
        if not own.get("name") or not (self._state.adding or moved):
            return
        rows: QuerySet[Any] = QcoreSchedule._base_manager.using(using)  # noqa: SLF001
        same = rows.filter(name=self.name).exclude(pk=self.pk)
        if not same.filter(namesake=self.namesake).exists():
            return
        highest = same.aggregate(found=Max("namesake"))["found"]
        self.namesake = int(highest or 0) + 1

    def last_run(self) -> Any:
        """Return a link to the page of the last run, or None."""
        from django.urls import reverse
        from django.utils.html import format_html

        from .tasks import Task

        task = Task.objects.filter(id=self.task).first() if self.task else None
        if task is None:
            return None
        page = "success" if task.success else "failure"
        url = reverse(f"admin:django_q_{page}_change", args=(task.id,))
        return format_html('<a href="{}">[{}]</a>', url, task.name)

    def success(self) -> bool | None:
        """Return whether the last run succeeded; None while nothing is known."""
        from .tasks import Task

        task = Task.objects.filter(id=self.task).first() if self.task else None
        return None if task is None else bool(task.success)


def own_text(row: Schedule, name: str) -> str:
    """Return a column as the table has it."""
    return stored(name, row.__dict__[name])


def _as_far_as_it_goes(row: Schedule, name: str) -> str:
    try:
        return row._stored(name)  # noqa: SLF001 - of this module
    except ValidationError:
        return str(row.__dict__[name])
