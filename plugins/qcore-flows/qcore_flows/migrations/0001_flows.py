"""Make the tables of batches and graphs."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The first shape of the tables."""

    initial = True

    dependencies = ()

    operations = (
        migrations.CreateModel(
            name="EdgeRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("flow_id", models.CharField(db_index=True, max_length=32)),
                ("parent", models.CharField(db_index=True, max_length=32)),
                ("child", models.CharField(db_index=True, max_length=32)),
                ("places", models.TextField(default="")),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="FlowRow",
            fields=[
                (
                    "id",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("kind", models.CharField(max_length=8)),
                ("name", models.CharField(max_length=255)),
                ("created", models.FloatField()),
                ("touched", models.FloatField()),
                ("sealed", models.FloatField(null=True)),
                ("total", models.IntegerField(db_default=0, default=0)),
                ("pending", models.IntegerField(db_default=0, default=0)),
                ("failed", models.IntegerField(db_default=0, default=0)),
                ("tolerated", models.IntegerField(db_default=0, default=0)),
                ("skipped", models.IntegerField(db_default=0, default=0)),
                ("on_success", models.BinaryField(null=True)),
                ("on_complete", models.BinaryField(null=True)),
                ("on_first_failure", models.BinaryField(null=True)),
                ("succeeded", models.FloatField(null=True)),
                ("completed", models.FloatField(null=True)),
                ("first_failure", models.FloatField(null=True)),
                ("cancelled", models.FloatField(null=True)),
                ("problem", models.TextField(default="")),
            ],
            options={
                "verbose_name": "flow",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["touched"], name="qcore_flow_touched"),
                    models.Index(fields=["created"], name="qcore_flow_created"),
                ],
            },
        ),
        migrations.CreateModel(
            name="MemberRow",
            fields=[
                (
                    "id",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("flow_id", models.CharField(max_length=32)),
                ("number", models.IntegerField()),
                ("task_id", models.CharField(max_length=32, unique=True)),
                ("name", models.CharField(max_length=255)),
                ("sent", models.FloatField(null=True)),
                ("outcome", models.CharField(max_length=16, null=True)),
                ("ended", models.FloatField(null=True)),
                ("waits", models.IntegerField(db_default=0, default=0)),
                ("may_fail", models.BooleanField(db_default=False, default=False)),
                ("is_taken", models.BooleanField(db_default=False, default=False)),
                ("value", models.BinaryField(null=True)),
                ("content", models.CharField(db_default="", default="", max_length=16)),
                ("package", models.BinaryField(null=True)),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["flow_id", "number"], name="qcore_flow_member")
                ],
            },
        ),
    )
