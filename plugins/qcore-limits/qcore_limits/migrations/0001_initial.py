"""Make the tables of the keys."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The first and, so far, only shape of the tables."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="ReplacedTask",
            fields=[
                (
                    "task_id",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("by", models.CharField(max_length=32)),
                ("until", models.FloatField(db_index=True)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="UniqueKey",
            fields=[
                (
                    "digest",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("key", models.CharField(max_length=255)),
                ("task_id", models.CharField(db_index=True, max_length=32)),
                ("during", models.CharField(max_length=16)),
                ("taken", models.FloatField()),
                ("until", models.FloatField()),
            ],
            options={
                "verbose_name": "unique key",
                "default_permissions": ("view", "delete"),
                "indexes": [models.Index(fields=["until"], name="qcore_unique_until")],
            },
        ),
    )
