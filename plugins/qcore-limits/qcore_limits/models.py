"""The tables of the keys. They belong into the database of the ledger.

Points in time are seconds since the epoch by the clock of that database.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class UniqueKey(models.Model):
    """A key that a task has, so that no other task with it is sent."""

    #: Of the key: so a key may be as long as it likes, and no collation folds it.
    digest = models.CharField(max_length=32, primary_key=True)
    #: For people; shortened.
    key = models.CharField(max_length=255)
    task_id = models.CharField(max_length=32, db_index=True)
    #: "waiting", "until_done" or "seconds".
    during = models.CharField(max_length=16)
    taken = models.FloatField()
    #: When the key is free whatever has become of the task.
    until = models.FloatField()

    class Meta:
        default_permissions = ("view", "delete")
        # The sweep reads the head of this index.
        indexes: ClassVar = [models.Index(fields=["until"], name="qcore_unique_until")]
        verbose_name = "unique key"

    def __str__(self) -> str:
        return str(self.key)


class ReplacedTask(models.Model):
    """A task that a newer task with its key has replaced: it is dropped at its claim."""

    task_id = models.CharField(max_length=32, primary_key=True)
    by = models.CharField(max_length=32)
    until = models.FloatField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.task_id)
