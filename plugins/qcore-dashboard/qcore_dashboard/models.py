"""The permissions of the dashboard, and the table that its charts are drawn from."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from qcore.plugins.app import require_app

require_app("qcore_dashboard", "qcore-dashboard")


class Dashboard(models.Model):
    """No table: it gives the dashboard its place in the admin, and its permissions."""

    class Meta:
        managed = False
        verbose_name = verbose_name_plural = "dashboard"
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("view_system", "Can view settings, plugins and the doctor's findings")
        ]

    def __str__(self) -> str:
        return "dashboard"


class Minute(models.Model):
    """What one queue has done in one minute; kept for two days."""

    #: Minutes since the epoch, by the clock of the cluster.
    minute = models.BigIntegerField()
    queue = models.CharField(max_length=255)
    #: Attempts that have ended so; the failed ones include those that are tried again.
    succeeded = models.BigIntegerField(default=0, db_default=0)
    failed = models.BigIntegerField(default=0, db_default=0)
    #: Seconds that all of them ran.
    run_seconds = models.FloatField(default=0.0, db_default=0.0)
    #: First attempts, and the seconds that their tasks had waited for them.
    begun = models.BigIntegerField(default=0, db_default=0)
    wait_seconds = models.FloatField(default=0.0, db_default=0.0)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["minute", "queue"], name="qcore_dashboard_once_a_minute"
            )
        ]

    def __str__(self) -> str:
        return f"{self.queue} in minute {self.minute}"
