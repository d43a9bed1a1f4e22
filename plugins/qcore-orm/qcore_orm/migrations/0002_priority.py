"""Give packages a priority."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """A column that says nothing of old rows, and the index with it.

    The index keeps its name: clusters of release 2.0 name it on MariaDB and MySQL.
    """

    dependencies = (("qcore_orm", "0001_initial"),)
    operations = (
        migrations.AddField(
            "ormq",
            "priority_rank",
            models.SmallIntegerField(default=0, db_default=0),
        ),
        migrations.RemoveIndex("ormq", "qcore_orm_claim"),
        migrations.AddIndex(
            "ormq",
            models.Index(
                fields=["key", "priority_rank", "visible", "id"],
                name="qcore_orm_claim",
            ),
        ),
    )
