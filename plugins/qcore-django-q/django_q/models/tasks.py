"""``Task``, ``Success`` and ``Failure``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.db import models
from django.utils import timezone

from qcore.errors import SerializeError
from qcore.models import FAILED, SUCCEEDED
from qcore.models import Task as QcoreTask
from qcore.results import content as contents
from qcore.results.base import Record
from qcore.serializers import get_serializer

if TYPE_CHECKING:
    from django.db.models import QuerySet

#: What django-q stores of a call, and qcore in two columns each.
_VALUES = ("args", "kwargs", "result")


class Task(QcoreTask):
    """A finished task. It can be made and saved, as in django-q."""

    class Meta:
        proxy = True
        app_label = "django_q"
        ordering: ClassVar = ["-stopped"]
        verbose_name = "task"
        default_permissions = ("add", "change", "delete", "view")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args:  # a row
            super().__init__(*args, **kwargs)
            return
        values = {name: kwargs.pop(name) for name in _VALUES if name in kwargs}
        success = kwargs.setdefault("success", True)
        kwargs.setdefault("attempt_count", 0)
        kwargs.setdefault("outcome", "success" if success else "failure")
        if "payload" not in kwargs:
            call = [list(values.get("args") or ()), values.get("kwargs") or {}]
            kwargs["content"], kwargs["payload"] = _encoded(call)
        if "value" not in kwargs:
            kwargs["value_content"], kwargs["value"] = _value(
                values.get("result"), success=success
            )
        kwargs.setdefault("enqueued", kwargs.get("started"))
        super().__init__(**kwargs)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it; a moment that is missing is now."""
        now = timezone.now()
        for name in ("started", "stopped", "enqueued"):
            if getattr(self, name) is None:
                setattr(self, name, now)
        super().save(*args, **kwargs)

    # -- the call and its result ---------------------------------------------------------
    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments."""
        return tuple(self._call()[0])

    @args.setter
    def args(self, value: Any) -> None:
        self._set_call(list(value or ()), self._call()[1])

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments."""
        return cast("dict[str, Any]", self._call()[1])

    @kwargs.setter
    def kwargs(self, value: Any) -> None:
        self._set_call(list(self._call()[0]), dict(value or {}))

    @property
    def result(self) -> Any:
        """The return value, or the text of the error."""
        return super().result

    @result.setter
    def result(self, value: Any) -> None:
        self.value_content, self.value = _value(value, success=self.success)

    @property
    def short_result(self) -> str:  # type: ignore[override]
        """The beginning of the result as text; a pickle is not opened."""
        return super().short_result()

    def _set_call(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.content, self.payload = _encoded([args, kwargs])

    # -- lookups --------------------------------------------------------------------------
    @staticmethod
    def get_task(task_id: str) -> Task | None:
        """Return the task of an id or a name, or None; of several, the newest."""
        found = Task.objects.filter(id=task_id).first()
        return found or Task.objects.filter(name=task_id).order_by("-stopped").first()

    @staticmethod
    def get_result(task_id: str) -> Any:
        """Return the result of the task of an id or a name, or None."""
        task = Task.get_task(task_id)
        return None if task is None else task.result

    @staticmethod
    def get_task_group(  # type: ignore[override]
        group_id: str, failures: bool = True
    ) -> QuerySet[Task]:
        """Return the tasks of a group, with its failures unless told otherwise."""
        found = Task.objects.filter(group=group_id).order_by("enqueued", "id")
        return found if failures else found.filter(success=True)

    @staticmethod
    def get_result_group(group_id: str, failures: bool = False) -> list[Any]:
        """Return the results of a group; ``failures`` includes their texts."""
        return [task.result for task in Task.get_task_group(group_id, failures)]

    @staticmethod
    def get_group_count(group_id: str, failures: bool = False) -> int:
        """Count a group; ``failures`` counts only the failures."""
        found = Task.objects.filter(group=group_id)
        return (found.filter(success=False) if failures else found).count()

    @staticmethod
    def delete_group(group_id: str, objects: bool = False) -> Any:
        """Take the label off a group, or with ``objects`` delete its tasks."""
        found = Task.objects.filter(group=group_id)
        return found.delete() if objects else found.update(group=None)

    def group_result(  # type: ignore[override]
        self, failures: bool = False
    ) -> list[Any] | None:
        """Return the results of this task's group; None where it has none."""
        return self.get_result_group(self.group, failures) if self.group else None

    def group_count(  # type: ignore[override]
        self, failures: bool = False
    ) -> int | None:
        """Count this task's group; None where it has none."""
        return self.get_group_count(self.group, failures) if self.group else None

    def group_delete(self, tasks: bool = False) -> Any:
        """Take the label off this task's group, or delete the tasks."""
        return self.delete_group(self.group, tasks) if self.group else None


def _encoded(value: object) -> tuple[str, str]:
    """Return content and text of a value: JSON where that can hold it."""
    try:
        return contents.JSON, get_serializer("json").dumps(value).decode()
    except SerializeError:
        data = get_serializer("pickle").dumps(value)
        return "pickle", contents.to_text(data, "pickle")


def _value(value: object, *, success: bool) -> tuple[str, str]:
    if isinstance(value, str) and not success:
        return contents.TEXT, contents.storable(value)
    return _encoded(value)


def as_task(record: Record | None) -> Task | None:
    """Return what a store has found as the model that projects know."""
    if record is None or isinstance(record, Task):
        return record
    if isinstance(record, QcoreTask):
        # a proxy has the columns of its model, and nothing of its own
        record.__class__ = Task
        return cast("Task", record)
    return Task(
        id=record.id,
        name=record.name,
        func=record.func,
        hook=record.hook,
        group=record.group,
        cluster=record.cluster,
        args=record.args,
        kwargs=record.kwargs,
        result=record.result,
        success=record.success,
        outcome=record.outcome,
        attempt_count=record.attempt_count,
        enqueued=record.enqueued,
        started=record.started,
        stopped=record.stopped,
    )


class SuccessManager(models.Manager["Success"]):
    """Successes, without the calls of an ``async_iter`` that wait to be joined."""

    def get_queryset(self) -> QuerySet[Success]:
        return super().get_queryset().filter(SUCCEEDED, iter_index=None)


class Success(Task):
    """A task that returned."""

    objects: ClassVar = SuccessManager()

    class Meta:
        proxy = True
        app_label = "django_q"
        ordering: ClassVar = ["-stopped"]
        verbose_name = "successful task"
        default_permissions = ("add", "change", "delete", "view")


class FailureManager(models.Manager["Failure"]):
    """Tasks that failed."""

    def get_queryset(self) -> QuerySet[Failure]:
        return super().get_queryset().filter(FAILED)


class Failure(Task):
    """A task whose last attempt raised, ran out of time or lost its worker."""

    objects: ClassVar = FailureManager()

    class Meta:
        proxy = True
        app_label = "django_q"
        ordering: ClassVar = ["-stopped"]
        verbose_name = "failed task"
        default_permissions = ("add", "change", "delete", "view")
