"""The two tables: what is queued, and status snapshots.

Points in time are seconds since the epoch, as floating-point numbers by the
*database's* clock, so that they mean the same on every database and no two
machines have to agree. The hot paths are written in SQL (``statements``); the
models are there for migrations and the admin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.functional import cached_property

from qcore.errors import PackageError
from qcore.plugins.app import require_app
from qcore.runtime import current

from .lengths import KEY_LENGTH

if TYPE_CHECKING:
    from qcore.envelope import Task


require_app("qcore_orm", "qcore-orm")


class OrmQ(models.Model):
    """One package in a queue.

    It may be claimed once ``visible`` has passed. ``claimed`` tells a package that
    somebody works on from one that is delayed; when a lease runs out it stays True,
    and ``visible`` alone says that the package waits again.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.CharField("queue", max_length=KEY_LENGTH)
    payload = models.BinaryField()
    visible = models.FloatField("visible from")
    claimed = models.BooleanField(default=False)
    attempts = models.IntegerField(default=0)
    #: The priority with its sign turned. So the index ascends, and what is claimed first
    #: comes first in it; not every database has indexes that descend.
    priority_rank = models.SmallIntegerField(default=0, db_default=0)

    class Meta:
        verbose_name = "queued task"
        verbose_name_plural = "queued tasks"
        # The claim reads the head of each priority in this index, in its order, and
        # nothing else: its cost does not grow with the queue.
        indexes = (
            models.Index(
                fields=("key", "priority_rank", "visible", "id"), name="qcore_orm_claim"
            ),
        )

    def __str__(self) -> str:
        return f"{self.key} {self.pk}"

    @cached_property
    def task(self) -> Task | PackageError:
        """The task of the package, its body as bytes; or why it cannot be trusted."""
        try:
            return current.signer.verify(bytes(self.payload), self.key)
        except PackageError as error:
            return error

    @property
    def priority(self) -> int:
        """-100 to 100; the higher one is claimed first."""
        return -int(self.priority_rank)

    @property
    def task_id(self) -> str | None:
        """The id of the task; None, as below, where the package cannot be trusted."""
        return self._of_task("id")

    @property
    def name(self) -> str | None:
        """The name of the task."""
        return self._of_task("name")

    @property
    def func(self) -> str | None:
        """The dotted path of its function."""
        return self._of_task("func")

    @property
    def group(self) -> str | None:
        """Its group, if it has one."""
        return self._of_task("group")

    def _of_task(self, attribute: str) -> str | None:
        task = self.task
        value: str | None = None
        if not isinstance(task, PackageError):
            value = getattr(task, attribute)
        return value


class Stat(models.Model):
    """One status snapshot, used where Django's cache is private to a process."""

    key = models.CharField(max_length=KEY_LENGTH, primary_key=True)
    value = models.BinaryField()
    expires = models.FloatField()

    def __str__(self) -> str:
        return str(self.key)
