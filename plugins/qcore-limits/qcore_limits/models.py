"""The tables of the keys. They belong into the database of the ledger.

Points in time are seconds since the epoch by the clock of that database.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from qcore.plugins.app import require_app

require_app("qcore_limits", "qcore-limits")


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
    #: The id of the task after whose success this one is sent; "": it was sent with the key.
    follows = models.CharField(max_length=32, default="", db_default="")

    class Meta:
        default_permissions = ("view", "delete")
        # The sweep reads the head of this index.
        indexes: ClassVar = [models.Index(fields=["until"], name="qcore_unique_until")]
        verbose_name = "unique key"

    def __str__(self) -> str:
        # not the key, which has arguments: this text gets into the log of the admin
        return str(self.digest)


class ReplacedTask(models.Model):
    """A task that a newer task with its key has replaced: it is dropped at its claim."""

    task_id = models.CharField(max_length=32, primary_key=True)
    by = models.CharField(max_length=32)
    until = models.FloatField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.task_id)


class LimitKey(models.Model):
    """One key of a limit: its row is locked by whoever decides about the key."""

    #: Of the limit's name and the key.
    digest = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=64)
    #: For people: the name and the key; shortened.
    label = models.CharField(max_length=255)
    #: As the last task has said that asked for a place; None: no limit.
    concurrency = models.IntegerField(null=True)
    #: Starts that may come now, at the time ``filled``.
    tokens = models.FloatField(default=0.0, db_default=0.0)
    filled = models.FloatField(default=0.0, db_default=0.0)
    #: When the next task may start that has to wait for its start.
    next_start = models.FloatField(default=0.0, db_default=0.0)
    #: Rows of ``WaitingTask`` of this key that are parked, and those that come later.
    parked = models.IntegerField(default=0, db_default=0)
    later = models.IntegerField(default=0, db_default=0)
    used = models.FloatField(default=0.0, db_default=0.0)

    class Meta:
        default_permissions = ("view",)
        indexes: ClassVar = [
            models.Index(fields=["used"], name="qcore_limit_used"),
            models.Index(fields=["name"], name="qcore_limit_name"),
            # The sweep looks for keys with parked tasks.
            models.Index(fields=["parked"], name="qcore_limit_parked"),
        ]
        verbose_name = "limit key"

    def __str__(self) -> str:
        return str(self.label)


class Hold(models.Model):
    """A place under a limit: of a task that runs, or reserved for one that is woken."""

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=32)
    task_id = models.CharField(max_length=32, db_index=True)
    #: Which start of the task has it; 0: it is reserved.
    start = models.IntegerField()
    #: When the task does not run any more, if nobody renews the hold.
    until = models.FloatField()
    #: When the place is free for others, in that case.
    ends = models.FloatField()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["digest", "task_id"], name="qcore_hold_unique"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["ends"], name="qcore_hold_ends")]

    def __str__(self) -> str:
        return str(self.task_id)


class WaitingTask(models.Model):
    """A task that waits for its place under a limit, or for its start."""

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=32)
    task_id = models.CharField(max_length=32, db_index=True)
    #: "parked", "called" (it was woken, and has not come yet) or "later".
    kind = models.CharField(max_length=8)
    #: Since when; the oldest one is first.
    since = models.FloatField()
    #: When it was decided, or when it comes.
    at = models.FloatField()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["digest", "task_id"], name="qcore_waiting_unique"
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["digest", "kind", "since", "id"], name="qcore_waiting_first"
            ),
            models.Index(fields=["kind", "at"], name="qcore_waiting_at"),
        ]

    def __str__(self) -> str:
        return str(self.task_id)


class LimitChange(models.Model):
    """What somebody has set for a limit while clusters run; it wins over the settings."""

    name = models.CharField(max_length=64, primary_key=True)
    concurrency = models.IntegerField(null=True)
    #: ""; there is none.
    rate = models.CharField(max_length=32, default="", db_default="")
    burst = models.IntegerField(null=True)
    changed = models.FloatField()
    by = models.CharField(max_length=255, default="", db_default="")

    class Meta:
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        return str(self.name)
