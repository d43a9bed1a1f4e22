"""A migration of django-q by its name: migrations of projects depend on it."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Changes nothing: the tables are those of qcore."""

    dependencies: ClassVar = [("django_q", "0012_auto_20200702_1608")]
