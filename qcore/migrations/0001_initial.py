import django.db.models.deletion
from django.db import migrations, models

import qcore.models.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Schedule",
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
                (
                    "name",
                    qcore.models.fields.WordField(
                        blank=True, max_length=100, null=True, unique=True
                    ),
                ),
                (
                    "func",
                    qcore.models.fields.WordField(
                        help_text="dotted path: module.tasks.function",
                        max_length=256,
                        verbose_name="function",
                    ),
                ),
                (
                    "hook",
                    qcore.models.fields.WordField(
                        blank=True,
                        help_text="dotted path of what is called with the result",
                        max_length=256,
                        null=True,
                    ),
                ),
                (
                    "args",
                    qcore.models.fields.BodyField(
                        blank=True, default="", help_text='JSON: [1, "two"]'
                    ),
                ),
                (
                    "kwargs",
                    qcore.models.fields.BodyField(
                        blank=True, default="", help_text='JSON: {"x": 1}'
                    ),
                ),
                (
                    "schedule_type",
                    qcore.models.fields.WordField(
                        choices=[
                            ("O", "Once"),
                            ("I", "Minutes"),
                            ("H", "Hourly"),
                            ("D", "Daily"),
                            ("W", "Weekly"),
                            ("BW", "Biweekly"),
                            ("M", "Monthly"),
                            ("BM", "Bimonthly"),
                            ("Q", "Quarterly"),
                            ("Y", "Yearly"),
                            ("C", "Cron"),
                        ],
                        default="O",
                        max_length=2,
                    ),
                ),
                (
                    "minutes",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="minutes between two runs, for type Minutes",
                        null=True,
                    ),
                ),
                (
                    "repeats",
                    models.IntegerField(
                        default=-1, help_text="n more runs; -1: for ever; 0: no more"
                    ),
                ),
                (
                    "next_run",
                    models.DateTimeField(
                        blank=True, help_text="empty: as soon as may be"
                    ),
                ),
                ("anchor", models.DateTimeField(editable=False, null=True)),
                (
                    "cron",
                    qcore.models.fields.WordField(
                        blank=True,
                        help_text="five fields: minute hour day-of-month month day-of-week, for Cron",
                        max_length=100,
                        null=True,
                    ),
                ),
                (
                    "task",
                    qcore.models.fields.WordField(
                        editable=False,
                        max_length=32,
                        null=True,
                        verbose_name="last task",
                    ),
                ),
                (
                    "cluster",
                    qcore.models.fields.WordField(
                        blank=True,
                        help_text="name of the cluster that runs it; empty: the project's own",
                        max_length=100,
                        null=True,
                    ),
                ),
                (
                    "intended_date_kwarg",
                    qcore.models.fields.WordField(
                        blank=True,
                        help_text="keyword argument that gets the time the run was meant for",
                        max_length=100,
                        null=True,
                    ),
                ),
                ("paused", models.BooleanField(default=False)),
                (
                    "error",
                    qcore.models.fields.BodyField(blank=True, default="", editable=False),
                ),
                ("tries", models.IntegerField(default=0, editable=False)),
                ("retry_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "verbose_name": "scheduled task",
                "ordering": ["next_run", "id"],
                "indexes": [
                    models.Index(fields=["next_run"], name="qcore_schedule_next")
                ],
            },
        ),
        migrations.CreateModel(
            name="Task",
            fields=[
                (
                    "id",
                    qcore.models.fields.IdField(
                        editable=False, max_length=32, primary_key=True, serialize=False
                    ),
                ),
                ("name", qcore.models.fields.WordField(editable=False, max_length=100)),
                (
                    "func",
                    qcore.models.fields.WordField(max_length=256, verbose_name="function"),
                ),
                ("hook", qcore.models.fields.WordField(max_length=256, null=True)),
                (
                    "group",
                    qcore.models.fields.WordField(editable=False, max_length=100, null=True),
                ),
                ("cluster", qcore.models.fields.WordField(max_length=100, null=True)),
                ("enqueued", models.DateTimeField(editable=False)),
                ("started", models.DateTimeField(editable=False)),
                ("stopped", models.DateTimeField(editable=False)),
                ("success", models.BooleanField(editable=False)),
                ("outcome", qcore.models.fields.WordField(editable=False, max_length=16)),
                (
                    "attempt_count",
                    models.IntegerField(editable=False, verbose_name="attempts"),
                ),
                ("crashes", models.IntegerField(default=0, editable=False)),
                ("content", qcore.models.fields.WordField(editable=False, max_length=16)),
                ("payload", qcore.models.fields.BodyField(editable=False)),
                (
                    "value_content",
                    qcore.models.fields.WordField(editable=False, max_length=16),
                ),
                ("value", qcore.models.fields.BodyField(editable=False)),
                ("options", qcore.models.fields.BodyField(default="", editable=False)),
                ("links", models.IntegerField(default=0, editable=False)),
                ("iter_index", models.IntegerField(editable=False, null=True)),
                ("iter_count", models.IntegerField(editable=False, null=True)),
            ],
            options={
                "verbose_name": "task",
                "ordering": ["-stopped", "-id"],
                "permissions": [
                    ("resubmit_task", "Can resubmit a task"),
                    ("view_args", "Can view the arguments of a task"),
                ],
                "default_permissions": ("view", "delete"),
                "indexes": [
                    models.Index(
                        fields=["success", "stopped", "id", "iter_index"],
                        name="qcore_task_newest",
                    ),
                    models.Index(fields=["group"], name="qcore_task_group"),
                    models.Index(fields=["name", "stopped"], name="qcore_task_name"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Failure",
            fields=[],
            options={
                "verbose_name": "failed task",
                "proxy": True,
                "default_permissions": ("view", "delete"),
                "indexes": [],
                "constraints": [],
            },
            bases=("qcore.task",),
        ),
        migrations.CreateModel(
            name="Success",
            fields=[],
            options={
                "verbose_name": "successful task",
                "proxy": True,
                "default_permissions": ("view", "delete"),
                "indexes": [],
                "constraints": [],
            },
            bases=("qcore.task",),
        ),
        migrations.CreateModel(
            name="ScheduleSlot",
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
                ("slot", models.DateTimeField()),
                ("task_id", qcore.models.fields.IdField(max_length=32, unique=True)),
                ("queue", qcore.models.fields.WordField(max_length=255)),
                ("package", models.BinaryField()),
                ("claimed", models.DateTimeField(null=True)),
                ("sent", models.DateTimeField(null=True)),
                (
                    "schedule",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="qcore.schedule",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["sent"], name="qcore_slot_sent")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("schedule", "slot"), name="qcore_slot_fires_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Quarantine",
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
                (
                    "at",
                    models.DateTimeField(
                        db_index=True, default=django.utils.timezone.now, editable=False
                    ),
                ),
                ("queue", qcore.models.fields.WordField(editable=False, max_length=255)),
                ("reason", qcore.models.fields.WordField(editable=False, max_length=64)),
                ("detail", qcore.models.fields.BodyField(editable=False)),
                (
                    "size",
                    models.IntegerField(editable=False, verbose_name="size (bytes)"),
                ),
                ("package", models.BinaryField()),
            ],
            options={
                "verbose_name": "quarantined package",
                "ordering": ["-at", "-id"],
                "default_permissions": ("view", "delete"),
            },
        ),
    ]
