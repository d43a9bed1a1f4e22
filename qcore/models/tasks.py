"""The table of results, and its two views: successes and failures."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.db import models
from django.db.models import Q

from .. import tasks as calls
from ..results import content as contents
from ..results.moments import moment
from ..results.rows import NAME, PATH, WORD, Row
from ..runtime import current
from .fields import BodyField, IdField, WordField

# SQLite and MySQL use an index for "success IN (1)" and none for the bare "success"
# that Django writes for success=True.
SUCCEEDED = Q(success__in=[True])
FAILED = Q(success__in=[False])
#: Failed for good: "final" alone would be true of nearly all rows.
DEAD = Q(fingerprint__isnull=False, final=True)

#: Characters of a result that lists and logs show.
SHORT = 100


class Task(models.Model):
    """The stored result of one task; written by stores, never by ``save()``."""

    id = IdField(primary_key=True, max_length=32, editable=False)
    name = WordField(max_length=NAME, editable=False)
    func = WordField("function", max_length=PATH)
    hook = WordField(max_length=PATH, null=True)
    group = WordField(max_length=NAME, null=True, editable=False)
    cluster = WordField(max_length=NAME, null=True)
    enqueued = models.DateTimeField(editable=False)
    started = models.DateTimeField(editable=False)
    stopped = models.DateTimeField(editable=False)
    success = models.BooleanField(editable=False)
    outcome = WordField(max_length=WORD, editable=False)
    attempt_count = models.IntegerField("attempts", editable=False)
    crashes = models.IntegerField(default=0, editable=False)
    content = WordField(max_length=WORD, editable=False)
    payload = BodyField(editable=False)
    value_content = WordField(max_length=WORD, editable=False)
    value = BodyField(editable=False)
    options = BodyField(default="", editable=False)
    links = models.IntegerField(default=0, editable=False)
    iter_index = models.IntegerField(null=True, editable=False)
    iter_count = models.IntegerField(null=True, editable=False)
    #: Whether the task is not run again. Rows of release 2.0 say no.
    final = models.BooleanField(default=False, db_default=False, editable=False)
    #: Of the error of a failed attempt; see ``results.fingerprint``.
    fingerprint = WordField(max_length=WORD, null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-stopped", "-id"]
        verbose_name = "task"
        permissions: ClassVar = [
            ("resubmit_task", "Can resubmit a task"),
            ("cancel_task", "Can cancel a task"),
            ("view_args", "Can view the arguments of a task"),
        ]
        default_permissions = ("view", "delete")
        indexes: ClassVar = [
            # From the newest success or failure on, for lists and for pruning; with
            # iter_index, to count without reading the rows.
            models.Index(
                fields=["success", "stopped", "id", "iter_index"],
                name="qcore_task_newest",
            ),
            models.Index(fields=["group"], name="qcore_task_group"),
            models.Index(fields=["name", "stopped"], name="qcore_task_name"),
            # Of the dead alone: it costs a success nothing. MariaDB and MySQL have no
            # such index, and read the failures.
            models.Index(
                fields=["func", "fingerprint", "stopped", "id"],
                name="qcore_task_dead",
                condition=DEAD,
            ),
        ]

    def __str__(self) -> str:
        return str(self.name or self.id)

    @classmethod
    def check(cls, **kwargs: Any) -> list[Any]:
        """Check the model; that a database has no index of some rows only, is meant."""
        found: list[Any] = super().check(**kwargs)
        return [one for one in found if one.id != "models.W037"]

    @classmethod
    def from_row(cls, row: Row) -> Task:
        """Return an unsaved task of what a store keeps."""
        fields = {name: getattr(row, name) for name in row.__struct_fields__}
        for name in ("enqueued", "started", "stopped"):
            fields[name] = moment(fields[name])
        return cls(**fields)

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments; of a joined ``async_iter``, those of all its calls."""
        return tuple(self._call()[0])

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments."""
        return cast("dict[str, Any]", self._call()[1])

    @property
    def result(self) -> Any:
        """The return value, or the text of the error where ``success`` is False.

        Raises:
            StoreError: it was stored with a serializer the project does not accept.
            BadPackage: the row was damaged.
        """
        accept = current.conf.accept_content
        return contents.load(self.value, self.value_content, accept)

    def _call(self) -> list[Any]:
        accept = current.conf.accept_content
        return contents.load_call(self.payload, self.content, accept)

    @property
    def is_dead(self) -> bool:
        """Whether the task has failed for good."""
        return bool(self.final and self.fingerprint is not None and not self.success)

    def short_result(self) -> str:
        """Return the beginning of the result as text; a pickle is not opened."""
        text = contents.show(self.value, self.value_content)
        return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"

    def time_taken(self) -> float:
        """Return the seconds that the last attempt ran."""
        return (self.stopped - self.started).total_seconds()

    def group_result(self, failures: bool = False) -> list[Any]:
        """Return the results of this task's group, oldest first."""
        return [task.result for task in self._group(failures=failures)]

    def group_count(self, failures: bool = False) -> int:
        """Count this task's group; ``failures`` counts only the failures."""
        members = self._group(failures=True)
        return (members.filter(success=False) if failures else members).count()

    def group_delete(self, tasks: bool = False) -> int:
        """Take the label off the group, or with ``tasks`` delete it; return how many."""
        members = self._group(failures=True)
        return members.delete()[0] if tasks else members.update(group=None)

    # -- the lookups of qcore.tasks, under the names that django-q gave them here ------
    @staticmethod
    def get_task(task_id: str) -> Task | None:
        """Return the task of an id or a name, or None."""
        return cast("Task | None", calls.fetch(task_id, cached=False))

    @staticmethod
    def get_result(task_id: str) -> Any:
        """Return the result of the task of an id or a name, or None."""
        return calls.result(task_id, cached=False)

    @staticmethod
    def get_task_group(group_id: str, failures: bool = True) -> list[Task]:
        """Return the tasks of a group, with its failures unless told otherwise."""
        found = calls.fetch_group(group_id, failures, cached=False)
        return cast("list[Task]", found)

    @staticmethod
    def get_result_group(group_id: str, failures: bool = False) -> list[Any]:
        """Return the results of a group; ``failures`` includes their texts."""
        return calls.result_group(group_id, failures, cached=False)

    @staticmethod
    def get_group_count(group_id: str, failures: bool = False) -> int:
        """Count a group; ``failures`` counts only the failures."""
        return calls.count_group(group_id, failures, cached=False)

    @staticmethod
    def delete_group(group_id: str, tasks: bool = False) -> int:
        """Take the label off a group, or with ``tasks`` delete it; return how many."""
        return calls.delete_group(group_id, tasks, cached=False)

    def _group(self, *, failures: bool) -> models.QuerySet[Task]:
        if self.group is None:
            return Task.objects.none()
        members = Task.objects.filter(group=self.group).order_by("enqueued", "id")
        return members if failures else members.filter(success=True)


class SuccessManager(models.Manager["Success"]):
    """Successes, without the elements of an ``async_iter`` that wait to be joined."""

    def get_queryset(self) -> models.QuerySet[Success]:
        return super().get_queryset().filter(SUCCEEDED, iter_index=None)


class Success(Task):
    """A task that returned."""

    objects: ClassVar = SuccessManager()

    class Meta:
        proxy = True
        verbose_name = "successful task"
        default_permissions = ("view", "delete")


class FailureManager(models.Manager["Failure"]):
    """Failures, those among the calls of an unfinished ``async_iter`` included."""

    def get_queryset(self) -> models.QuerySet[Failure]:
        return super().get_queryset().filter(FAILED)


class Failure(Task):
    """A task whose last attempt raised, ran out of time or lost its worker."""

    objects: ClassVar = FailureManager()

    class Meta:
        proxy = True
        verbose_name = "failed task"
        default_permissions = ("view", "delete")
