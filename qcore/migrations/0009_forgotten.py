"""Keep what sends a tracked task again as it was, and since when a ticket is idle."""

import qcore.models.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns that may be NULL, so that the release before can write rows."""

    dependencies = [("qcore", "0008_overlap")]

    operations = [
        migrations.AddField(
            model_name="tracked",
            name="said",
            field=qcore.models.fields.BodyField(null=True),
        ),
        migrations.AddField(
            model_name="ticket",
            name="idle",
            field=models.FloatField(null=True),
        ),
    ]
