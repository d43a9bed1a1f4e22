"""An app that puts a prefix before the name of every table, as django-db-prefix does."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import class_prepared

PREFIX = "shop_"


def prefix(sender: Any, **_: object) -> None:
    if not sender._meta.db_table.startswith(PREFIX):
        sender._meta.db_table = PREFIX + sender._meta.db_table


class_prepared.connect(prefix)
