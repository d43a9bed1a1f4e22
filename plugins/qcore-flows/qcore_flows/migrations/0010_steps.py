"""Make the tables of durable tasks."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Runs, their steps, and events."""

    dependencies = (("qcore_flows", "0001_flows"),)

    operations = (
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "digest",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=255)),
                ("since", models.FloatField()),
                ("emitted", models.FloatField(null=True)),
                ("content", models.CharField(db_default="", default="", max_length=16)),
                ("value", models.BinaryField(null=True)),
            ],
            options={
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["since"], name="qcore_flows_event_since")
                ],
            },
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                (
                    "task_id",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("func", models.CharField(max_length=255)),
                ("version", models.IntegerField(db_default=1, default=1)),
                ("state", models.CharField(max_length=16)),
                ("start", models.IntegerField(db_default=0, default=0)),
                ("held_until", models.FloatField(db_default=0, default=0)),
                ("woken", models.BooleanField(db_default=False, default=False)),
                (
                    "waits_for",
                    models.CharField(db_default="", default="", max_length=255),
                ),
                ("due", models.FloatField(null=True)),
                ("created", models.FloatField()),
                ("ended", models.FloatField(null=True)),
            ],
            options={
                "verbose_name": "run",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(
                        fields=["ended", "created"], name="qcore_flows_run_ended"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RunStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("run_id", models.CharField(max_length=32)),
                ("digest", models.CharField(max_length=32)),
                ("name", models.CharField(max_length=255)),
                ("kind", models.CharField(max_length=16)),
                ("event", models.CharField(max_length=32, null=True)),
                ("due", models.FloatField(null=True)),
                ("began", models.FloatField()),
                ("done", models.FloatField(null=True)),
                ("content", models.CharField(db_default="", default="", max_length=16)),
                ("value", models.BinaryField(null=True)),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["event"], name="qcore_flows_step_event")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("run_id", "digest"), name="qcore_flows_step_name"
                    )
                ],
            },
        ),
    )
