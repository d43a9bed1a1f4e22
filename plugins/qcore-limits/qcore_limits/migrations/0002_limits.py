"""Make the tables of limits."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Keys, holds, tasks that wait and changes of limits."""

    dependencies = (("qcore_limits", "0001_initial"),)

    operations = (
        migrations.CreateModel(
            name="LimitChange",
            fields=[
                (
                    "name",
                    models.CharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("concurrency", models.IntegerField(null=True)),
                ("rate", models.CharField(db_default="", default="", max_length=32)),
                ("burst", models.IntegerField(null=True)),
                ("changed", models.FloatField()),
                ("by", models.CharField(db_default="", default="", max_length=255)),
            ],
            options={
                "default_permissions": ("view", "change"),
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.CharField(max_length=32)),
                ("task_id", models.CharField(db_index=True, max_length=32)),
                ("start", models.IntegerField()),
                ("until", models.FloatField()),
                ("ends", models.FloatField()),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["ends"], name="qcore_hold_ends")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("digest", "task_id"), name="qcore_hold_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LimitKey",
            fields=[
                (
                    "digest",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=64)),
                ("label", models.CharField(max_length=255)),
                ("concurrency", models.IntegerField(null=True)),
                ("tokens", models.FloatField(db_default=0.0, default=0.0)),
                ("filled", models.FloatField(db_default=0.0, default=0.0)),
                ("next_start", models.FloatField(db_default=0.0, default=0.0)),
                ("parked", models.IntegerField(db_default=0, default=0)),
                ("later", models.IntegerField(db_default=0, default=0)),
                ("used", models.FloatField(db_default=0.0, default=0.0)),
            ],
            options={
                "verbose_name": "limit key",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["used"], name="qcore_limit_used"),
                    models.Index(fields=["name"], name="qcore_limit_name"),
                    models.Index(fields=["parked"], name="qcore_limit_parked"),
                ],
            },
        ),
        migrations.CreateModel(
            name="WaitingTask",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.CharField(max_length=32)),
                ("task_id", models.CharField(db_index=True, max_length=32)),
                ("kind", models.CharField(max_length=8)),
                ("since", models.FloatField()),
                ("at", models.FloatField()),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        fields=["digest", "kind", "since", "id"],
                        name="qcore_waiting_first",
                    ),
                    models.Index(fields=["kind", "at"], name="qcore_waiting_at"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("digest", "task_id"), name="qcore_waiting_unique"
                    )
                ],
            },
        ),
    )
