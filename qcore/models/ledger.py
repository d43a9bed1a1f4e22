"""The tables of the ledger: tickets, the outbox, and the queues that are paused.

Points in time are seconds since the epoch, as floating-point numbers by the *database's*
clock (see ``ledger.clock``), so that no two machines have to agree.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from .fields import IdField, WordField


class Ticket(models.Model):
    """What must be known of a task beyond its package: which one is valid, and its end.

    A plain task has none.
    """

    task_id = IdField(max_length=32, primary_key=True)
    #: The package that is valid: how often the task was sent again.
    gen = models.IntegerField(default=0, db_default=0)
    #: Admissions of the task, the fencing token of what it holds. Of a task that needs no
    #: plugin: claims of its valid package, from the second one on.
    starts = models.IntegerField(default=0, db_default=0)
    #: Attempts that count.
    runs = models.IntegerField(default=0, db_default=0)
    #: The one outcome of the task, once there is one; and when that was.
    final = WordField(max_length=16, null=True)
    ended = models.FloatField(null=True)
    #: When somebody asked that it be cancelled.
    cancelled = models.FloatField(null=True)
    #: Since when nothing has been written of it, as far as the pruning has seen.
    idle = models.FloatField(null=True)

    class Meta:
        default_permissions = ()
        # The sweep reads what has ended, the oldest first; a look of the control, whether
        # one that has not ended is marked.
        indexes: ClassVar = [
            models.Index(fields=["ended", "cancelled"], name="qcore_ticket_marks")
        ]

    def __str__(self) -> str:
        return str(self.task_id)


class OutboxRow(models.Model):
    """One package that is to be sent: later, or because something was committed.

    The relay may claim it once ``due`` has passed. A claim moves ``due`` on, by the time
    that the claim holds. So what is claimed is not due, and the head of the index is all
    that a claim reads, however many rows there are.
    """

    id = models.BigAutoField(primary_key=True)
    #: None: not before the plugin that has parked it, or a cancelling, gives it one.
    due = models.FloatField(null=True)
    queue = WordField(max_length=255)
    task_id = IdField(max_length=32)
    gen = models.IntegerField(default=0, db_default=0)
    package = models.BinaryField()
    #: Who has it: the token of the sender or relay that has claimed it; or, where nobody has
    #: claimed it, the name of the plugin that has parked it.
    held_by = WordField(max_length=64, null=True)
    #: When that one has claimed it.
    claimed = models.FloatField(null=True)
    #: Times that a relay has claimed it and could not send it.
    tries = models.IntegerField(default=0, db_default=0)

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["queue", "due", "id"], name="qcore_outbox_due"),
            models.Index(fields=["task_id"], name="qcore_outbox_task"),
        ]

    def __str__(self) -> str:
        return f"{self.queue} {self.task_id}"


class QueuePause(models.Model):
    """A queue from which no cluster claims, until somebody resumes it."""

    queue = WordField(max_length=255, primary_key=True)
    at = models.FloatField()
    #: Who has paused it, as far as the caller has said so.
    paused_by = WordField(max_length=255, null=True)
    reason = WordField(max_length=500, default="", db_default="")

    class Meta:
        default_permissions = ("view",)
        verbose_name = "paused queue"
        permissions: ClassVar = [("control_queue", "Can pause and resume a queue")]
        ordering: ClassVar = ["queue"]

    def __str__(self) -> str:
        return str(self.queue)
