"""Make the table of the tasks that durable tasks have spawned."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Spawned tasks."""

    dependencies = (("qcore_flows", "0010_steps"),)

    operations = (
        migrations.CreateModel(
            name="Spawned",
            fields=[
                (
                    "task_id",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("run_id", models.CharField(max_length=32)),
                ("waited", models.CharField(max_length=32, null=True)),
                ("touched", models.FloatField(null=True)),
                ("outcome", models.CharField(max_length=16, null=True)),
                ("ended", models.FloatField(null=True)),
                ("content", models.CharField(db_default="", default="", max_length=16)),
                ("value", models.BinaryField(null=True)),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["run_id"], name="qcore_flows_spawned_run"),
                    models.Index(fields=["waited"], name="qcore_flows_spawned_waited"),
                    models.Index(fields=["touched"], name="qcore_flows_spawned_rest"),
                ],
            },
        ),
    )
