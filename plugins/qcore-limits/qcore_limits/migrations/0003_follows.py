"""Add to a key the task after whose success its own is sent."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """A column with a default of the database."""

    dependencies = (("qcore_limits", "0002_limits"),)

    operations = (
        migrations.AddField(
            model_name="uniquekey",
            name="follows",
            field=models.CharField(db_default="", default="", max_length=32),
        ),
    )
