"""The table of what was moved from the tables of django-q."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.db import migrations, models

from django_q.operations import BecomeProxies, CreateProxy

QCORE = import_module("django_q.migrations.0001_qcore").Migration


class Migration(migrations.Migration):
    """Makes the table; the other models are proxies."""

    dependencies: ClassVar = [
        ("qcore", "0003_schedule_namesake"),
        ("qcore_orm", "0001_initial"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations: ClassVar = [
        BecomeProxies(
            [one for one in QCORE.operations if isinstance(one, CreateProxy)]
        ),
        migrations.CreateModel(
            name="Moved",
            fields=[
                (
                    "id",
                    models.BigAutoField(primary_key=True, serialize=False),
                ),
                ("kind", models.CharField(max_length=16)),
                ("old", models.CharField(max_length=64)),
                ("new", models.CharField(max_length=64)),
                ("how", models.CharField(blank=True, default="", max_length=16)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "old"), name="django_q_moved_once"
                    )
                ],
            },
        ),
    ]
