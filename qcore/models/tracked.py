"""The table of tracked tasks: those that can be found from their enqueueing on.

Points in time are seconds since the epoch, by the clock of who enqueued, ran or stored the
task, as in the table of results.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from ..results.rows import NAME, PATH, WORD
from .fields import BodyField, IdField, WordField


class Tracked(models.Model):
    """One tracked task, with its outcome once there is one; written by ``ledger.tracked``.

    It is a table beside that of the results, which holds nothing but ends: there, managers,
    groups and pruning would take a task that waits for one that has failed.
    """

    task_id = IdField(max_length=32, primary_key=True)
    #: The alias in TASKS through which it was enqueued; None: not through django.tasks.
    backend = WordField(max_length=NAME, null=True)
    func = WordField("function", max_length=PATH)
    #: The queue, as the caller has named it.
    queue = WordField(max_length=255)
    priority = models.IntegerField(default=0, db_default=0)
    run_after = models.FloatField(null=True)
    takes_context = models.BooleanField(default=False, db_default=False)
    content = WordField(max_length=WORD)
    payload = BodyField()
    #: JSON: the rest of its package, so that it can be sent again as it was; NULL in rows of
    #: a release that did not keep it.
    said = BodyField(null=True)
    enqueued = models.FloatField()
    #: ``waiting``, ``running``, or how it has ended: one of ``envelope.Outcome``.
    state = WordField(max_length=WORD)
    #: When its first attempt began, when its last one did, and when it had ended.
    started = models.FloatField(null=True)
    attempted = models.FloatField(null=True)
    finished = models.FloatField(null=True)
    #: Who has run it, in the order of the attempts: one line each.
    workers = BodyField(default="")
    #: JSON: of each attempt that failed [moment, path of the exception's class, traceback].
    errors = BodyField(default="[]")
    value_content = WordField(max_length=WORD, null=True)
    value = BodyField(null=True)

    class Meta:
        default_permissions = ()
        verbose_name_plural = "tracked tasks"
        # Pruning reads its head: what has ended, the oldest first. What has not is NULL.
        indexes: ClassVar = [
            models.Index(fields=["finished"], name="qcore_tracked_finished")
        ]

    def __str__(self) -> str:
        return f"{self.func} {self.task_id}"
