"""What ``qcore migrate-from django_q`` has moved, so that a second run moves nothing."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Moved(models.Model):
    """One row of a table of django-q, and what it has become here."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=16)
    old = models.CharField(max_length=64)
    new = models.CharField(max_length=64)
    #: How it was moved, where a later run may do better: "note" for a result that was
    #: not opened.
    how = models.CharField(max_length=16, default="", blank=True)

    objects: ClassVar[models.Manager[Moved]] = models.Manager()

    class Meta:
        app_label = "django_q"
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "old"], name="django_q_moved_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.old} is {self.new}"
