"""The models as proxies of those of qcore; it stands in the place of ``0001_initial``.

A database that django-q has migrated has ``0001_initial`` behind it, and no table of qcore
yet. A migration that was applied may not depend on one that was not, so the one that has
the dependency is a replacement: Django takes it for applied as soon as what it replaces is.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

import django_q.models.history
from django_q.operations import CreateProxy


class Migration(migrations.Migration):
    """Makes the proxies, once the tables of qcore are there."""

    replaces: ClassVar = [("django_q", "0001_initial")]
    dependencies: ClassVar = [
        ("qcore", "0003_schedule_namesake"),
        ("qcore_orm", "0001_initial"),
    ]
    operations: ClassVar = [
        CreateProxy(
            name="Schedule",
            fields=[],
            options={
                "verbose_name": "scheduled task",
                "ordering": ["next_run"],
                "proxy": True,
                "default_permissions": ("add", "change", "delete", "view"),
                "indexes": [],
                "constraints": [],
            },
            bases=(django_q.models.history.HistoricalSchedule, "qcore.schedule"),
        ),
        CreateProxy(
            name="Task",
            fields=[],
            options={
                "verbose_name": "task",
                "ordering": ["-stopped"],
                "proxy": True,
                "default_permissions": ("add", "change", "delete", "view"),
                "indexes": [],
                "constraints": [],
            },
            bases=("qcore.task",),
        ),
        migrations.CreateModel(
            name="Failure",
            fields=[],
            options={
                "verbose_name": "failed task",
                "ordering": ["-stopped"],
                "proxy": True,
                "default_permissions": ("add", "change", "delete", "view"),
                "indexes": [],
                "constraints": [],
            },
            bases=("django_q.task",),
        ),
        migrations.CreateModel(
            name="Success",
            fields=[],
            options={
                "verbose_name": "successful task",
                "ordering": ["-stopped"],
                "proxy": True,
                "default_permissions": ("add", "change", "delete", "view"),
                "indexes": [],
                "constraints": [],
            },
            bases=("django_q.task",),
        ),
        CreateProxy(
            name="OrmQ",
            fields=[],
            options={
                "verbose_name": "queued task",
                "proxy": True,
                "default_permissions": ("add", "change", "delete", "view"),
                "indexes": [],
                "constraints": [],
            },
            bases=("qcore_orm.ormq",),
        ),
    ]
