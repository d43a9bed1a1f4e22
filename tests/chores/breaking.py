"""Tasks and hooks that break the transaction around them."""

from __future__ import annotations

import contextlib
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, connection


def same_name_twice(name: str) -> None:
    User.objects.create(username=name)
    User.objects.create(username=name)


def no_such_table(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM there_is_no_such_table")


def swallow(name: str) -> str:
    with contextlib.suppress(DatabaseError):
        same_name_twice(name)
    return name


def write_and_fail(name: str) -> None:
    User.objects.create(username=name)
    raise ValueError(name)


def hook(task: Any) -> None:
    same_name_twice("hook")
