"""The tables of durable tasks: runs, their steps, the tasks they have spawned, and events.

Names are looked up by a digest, so that no collation folds them. Values are bytes, as the
serializer of the project has made them.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Run(models.Model):
    """A durable task that has begun; it has as many rows in ``RunStep`` as stored steps."""

    task_id = models.CharField(max_length=32, primary_key=True)
    func = models.CharField(max_length=255)
    #: The version of the function that it was sent for.
    version = models.IntegerField(default=1, db_default=1)
    #: A ``RunState``, or how the task has ended (``qcore.envelope.Outcome``).
    state = models.CharField(max_length=16)
    #: Times that a worker has begun it: the number of the last start. An earlier one
    #: writes nothing any more.
    start = models.IntegerField(default=0, db_default=0)
    #: When another worker may begin it although nobody has said that this one ended.
    held_until = models.FloatField(default=0, db_default=0)
    #: Whether something has happened since it was begun that it may wait for.
    woken = models.BooleanField(default=False, db_default=False)
    #: What it waits for, for people: the name of a step.
    waits_for = models.CharField(max_length=255, default="", db_default="")
    #: When it goes on if nobody wakes it; None: not before.
    due = models.FloatField(null=True)
    created = models.FloatField()
    ended = models.FloatField(null=True)

    class Meta:
        default_permissions = ("view",)
        # The sweep reads what has ended, the oldest first; a list, what has not.
        indexes: ClassVar = [
            models.Index(fields=["ended", "created"], name="qcore_flows_run_ended")
        ]
        verbose_name = "run"

    def __str__(self) -> str:
        return f"{self.func} {self.task_id}"


class RunStep(models.Model):
    """What a run has stored under a name."""

    id = models.BigAutoField(primary_key=True)
    run_id = models.CharField(max_length=32)
    digest = models.CharField(max_length=32)
    #: For people; shortened, in ASCII.
    name = models.CharField(max_length=255)
    #: A ``Kind``.
    kind = models.CharField(max_length=16)
    #: The digest of the event that it waits for; None where it waits for none (any more).
    event = models.CharField(max_length=32, null=True)  # noqa: DJ001 - an index of a few
    #: When it goes on by itself: the end of a sleep, or of the patience for an event.
    due = models.FloatField(null=True)
    began = models.FloatField()
    #: When its value was stored; None: it waits.
    done = models.FloatField(null=True)
    #: The serializer of the value.
    content = models.CharField(max_length=16, default="", db_default="")
    value = models.BinaryField(null=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run_id", "digest"], name="qcore_flows_step_name"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["event"], name="qcore_flows_step_event")
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.name}"


class Spawned(models.Model):
    """A task that a run has sent, and of whose end the run can be told.

    Whoever writes its end locks the row of the run first. So of an end and of a run that
    begins to wait for it, the second sees what the first has written.
    """

    task_id = models.CharField(max_length=32, primary_key=True)
    run_id = models.CharField(max_length=32)
    #: The run, while it waits for this task; None where it does not (any more).
    waited = models.CharField(max_length=32, null=True)  # noqa: DJ001 - an index of a few
    #: When it was sent, or last looked for; None: it has ended.
    touched = models.FloatField(null=True)
    #: How it has ended: the outcome of the task, or "lost".
    outcome = models.CharField(max_length=16, null=True)  # noqa: DJ001 - None: not yet
    ended = models.FloatField(null=True)
    #: The result of a success, with its serializer.
    content = models.CharField(max_length=16, default="", db_default="")
    value = models.BinaryField(null=True)

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["run_id"], name="qcore_flows_spawned_run"),
            models.Index(fields=["waited"], name="qcore_flows_spawned_waited"),
            models.Index(fields=["touched"], name="qcore_flows_spawned_rest"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.task_id}"


class Event(models.Model):
    """Something that has happened, or that a run waits for."""

    digest = models.CharField(max_length=32, primary_key=True)
    #: For people; shortened, in ASCII.
    name = models.CharField(max_length=255)
    since = models.FloatField()
    #: When it happened; None: it has not.
    emitted = models.FloatField(null=True)
    content = models.CharField(max_length=16, default="", db_default="")
    value = models.BinaryField(null=True)

    class Meta:
        default_permissions = ("view",)
        indexes: ClassVar = [
            models.Index(fields=["since"], name="qcore_flows_event_since")
        ]

    def __str__(self) -> str:
        return str(self.name)
