"""The tables of django-q, as unmanaged models of the columns that are there.

django-q need not be installed, and the tables may be those of any of its versions. The
models are in a registry of their own: nothing else knows them.
"""

from __future__ import annotations

from typing import Any

from django.apps.registry import Apps
from django.db import connections, models

#: Table -> its columns in any version; pickles are the text that they are stored as.
TABLES: dict[str, dict[str, Any]] = {
    "django_q_schedule": {
        "id": lambda: models.AutoField(primary_key=True),
        "name": lambda: models.CharField(max_length=100, null=True),
        "func": lambda: models.CharField(max_length=256),
        "hook": lambda: models.CharField(max_length=256, null=True),
        "args": lambda: models.TextField(null=True),
        "kwargs": lambda: models.TextField(null=True),
        "schedule_type": lambda: models.CharField(max_length=2),
        "minutes": lambda: models.PositiveSmallIntegerField(null=True),
        "repeats": models.IntegerField,
        "next_run": lambda: models.DateTimeField(null=True),
        "cron": lambda: models.CharField(max_length=100, null=True),
        "task": lambda: models.CharField(max_length=100, null=True),
        "cluster": lambda: models.CharField(max_length=100, null=True),
        "intended_date_kwarg": lambda: models.CharField(max_length=100, null=True),
    },
    "django_q_task": {
        "id": lambda: models.CharField(max_length=32, primary_key=True),
        "name": lambda: models.CharField(max_length=100),
        "func": lambda: models.CharField(max_length=256),
        "hook": lambda: models.CharField(max_length=256, null=True),
        "args": lambda: models.TextField(null=True),
        "kwargs": lambda: models.TextField(null=True),
        "result": lambda: models.TextField(null=True),
        "group": lambda: models.CharField(max_length=100, null=True),
        "cluster": lambda: models.CharField(max_length=100, null=True),
        "started": models.DateTimeField,
        "stopped": models.DateTimeField,
        "success": models.BooleanField,
        "attempt_count": models.IntegerField,
    },
    "django_q_ormq": {
        "id": lambda: models.AutoField(primary_key=True),
        "key": lambda: models.CharField(max_length=100),
        "payload": models.TextField,
        "lock": lambda: models.DateTimeField(null=True),
    },
}

#: The table of schedules, of results, and of queued tasks.
SCHEDULES, TASKS, QUEUE = TABLES


def model_of(table: str, alias: str) -> Any:
    """Return a model of a table of django-q; None where the database has none."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return None
        found = connection.introspection.get_table_description(cursor, table)
    there = {column.name for column in found}
    fields = {name: make() for name, make in TABLES[table].items() if name in there}
    meta = {
        "managed": False,
        "db_table": table,
        "app_label": "django_q_old",
        "apps": Apps(),
    }
    body = {**fields, "Meta": type("Meta", (), meta), "__module__": __name__}
    return type("Old", (models.Model,), body)
