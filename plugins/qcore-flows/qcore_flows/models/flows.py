"""The tables of batches and graphs: a flow, its members, and which member waits for which."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class FlowRow(models.Model):
    """A batch or a graph: tasks whose ends are counted.

    Whoever changes members of a flow locks its row first. So of two that see the last
    end, one decides what follows. The counts can be made anew from the members.
    """

    id = models.CharField(max_length=32, primary_key=True)
    #: "batch" or "graph".
    kind = models.CharField(max_length=8)
    name = models.CharField(max_length=255)
    created = models.FloatField()
    #: When its last change was, or a later moment at which members come that wait until
    #: then; the sweep looks at those that rest for long after it.
    touched = models.FloatField()
    #: When no more members came from its maker; None: they still may.
    sealed = models.FloatField(null=True)
    #: Members; those that have not ended; those that failed; and those of them that may.
    total = models.IntegerField(default=0, db_default=0)
    pending = models.IntegerField(default=0, db_default=0)
    failed = models.IntegerField(default=0, db_default=0)
    tolerated = models.IntegerField(default=0, db_default=0)
    #: Members that never run, because one that they wait for has failed.
    skipped = models.IntegerField(default=0, db_default=0)
    #: The packages of the callbacks.
    on_success = models.BinaryField(null=True)
    on_complete = models.BinaryField(null=True)
    on_first_failure = models.BinaryField(null=True)
    #: When each of them was decided: it is sent then, and never again.
    succeeded = models.FloatField(null=True)
    completed = models.FloatField(null=True)
    first_failure = models.FloatField(null=True)
    #: When somebody asked that it be cancelled.
    cancelled = models.FloatField(null=True)
    #: Why a callback could not be sent, for people.
    problem = models.TextField(default="")

    class Meta:
        default_permissions = ("view",)
        indexes: ClassVar = [
            models.Index(fields=["touched"], name="qcore_flow_touched"),
            models.Index(fields=["created"], name="qcore_flow_created"),
        ]
        verbose_name = "flow"

    def __str__(self) -> str:
        return str(self.name)


class MemberRow(models.Model):
    """A member of a batch, or a node of a graph."""

    #: That of its first task; it stays when the member is tried again as a new task.
    id = models.CharField(max_length=32, primary_key=True)
    flow_id = models.CharField(max_length=32)
    #: Its place in the flow, from 0.
    number = models.IntegerField()
    #: The task that it is now.
    task_id = models.CharField(max_length=32, unique=True)
    #: For people: of a node its name, else the path of the function.
    name = models.CharField(max_length=255)
    #: When its task was sent; None: it waits for others.
    sent = models.FloatField(null=True)
    #: How it has ended: the outcome of its task, or "skipped" or "lost".
    outcome = models.CharField(max_length=16, null=True)  # noqa: DJ001 - None: not yet
    ended = models.FloatField(null=True)
    #: How many of those that it waits for are not over.
    waits = models.IntegerField(default=0, db_default=0)
    #: Whether others go on after its failure.
    may_fail = models.BooleanField(default=False, db_default=False)
    #: Whether others take its result; and the result, with its serializer.
    is_taken = models.BooleanField(default=False, db_default=False)
    value = models.BinaryField(null=True)
    content = models.CharField(max_length=16, default="", db_default="")
    #: What it takes to send it, or to send it again.
    package = models.BinaryField(null=True)

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["flow_id", "number"], name="qcore_flow_member")
        ]

    def __str__(self) -> str:
        return str(self.name)


class EdgeRow(models.Model):
    """One member waits for another one."""

    id = models.BigAutoField(primary_key=True)
    flow_id = models.CharField(max_length=32, db_index=True)
    parent = models.CharField(max_length=32, db_index=True)
    child = models.CharField(max_length=32, db_index=True)
    #: Where the arguments of the child have the result of the parent, as JSON: a list of
    #: paths, each a list of keys. Empty: nowhere.
    places = models.TextField(default="")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.parent} -> {self.child}"
