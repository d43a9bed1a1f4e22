"""Make the tables of the queue."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def compare_keys_exactly(apps: Any, schema_editor: Any) -> None:
    """Let MySQL and MariaDB tell ``Mail`` from ``mail``, as the others do.

    Their default collations ignore case, and then two queues would be one.
    """
    if schema_editor.connection.vendor != "mysql":
        return
    for name in ("OrmQ", "Stat"):
        # the project may give its tables a prefix
        table = apps.get_model("qcore_orm", name)._meta.db_table  # noqa: SLF001
        schema_editor.execute(
            f"ALTER TABLE {schema_editor.quote_name(table)} MODIFY `key` varchar(255)"
            " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
        )


class Migration(migrations.Migration):
    """The first and, so far, only shape of the tables."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="OrmQ",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=255, verbose_name="queue")),
                ("payload", models.BinaryField()),
                ("visible", models.FloatField(verbose_name="visible from")),
                ("claimed", models.BooleanField(default=False)),
                ("attempts", models.IntegerField(default=0)),
            ],
            options={
                "verbose_name": "queued task",
                "verbose_name_plural": "queued tasks",
                "indexes": [
                    models.Index(
                        fields=["key", "visible", "id"], name="qcore_orm_claim"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Stat",
            fields=[
                (
                    "key",
                    models.CharField(max_length=255, primary_key=True, serialize=False),
                ),
                ("value", models.BinaryField()),
                ("expires", models.FloatField()),
            ],
        ),
        # MySQL has no transactions around changes of tables.
        migrations.RunPython(
            compare_keys_exactly, migrations.RunPython.noop, atomic=False
        ),
    )
