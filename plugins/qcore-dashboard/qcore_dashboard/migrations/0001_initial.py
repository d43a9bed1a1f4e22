"""Make the table of the charts, and the permissions."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The first and, so far, only shape of the table."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Dashboard",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
            ],
            options={
                "verbose_name": "dashboard",
                "verbose_name_plural": "dashboard",
                "permissions": [
                    (
                        "view_system",
                        "Can view settings, plugins and the doctor's findings",
                    )
                ],
                "managed": False,
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Minute",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("minute", models.BigIntegerField()),
                ("queue", models.CharField(max_length=255)),
                ("succeeded", models.BigIntegerField(db_default=0, default=0)),
                ("failed", models.BigIntegerField(db_default=0, default=0)),
                ("run_seconds", models.FloatField(db_default=0.0, default=0.0)),
                ("begun", models.BigIntegerField(db_default=0, default=0)),
                ("wait_seconds", models.FloatField(db_default=0.0, default=0.0)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("minute", "queue"), name="qcore_dashboard_once_a_minute"
                    )
                ],
            },
        ),
    )
