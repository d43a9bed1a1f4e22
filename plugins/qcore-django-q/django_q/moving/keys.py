"""Foreign keys of the project: from the old tables to those of qcore.

A constraint of the database still names the old table after the drop-in is there, and a
new schedule could not be stored in such a column.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connections, models, router
from django.db.models import Case, F, Value, When
from django.db.models.functions import Cast

from qcore.models import Schedule as QcoreSchedule
from qcore.models import Task as QcoreTask

from ..models import Moved
from .report import Part
from .tables import SCHEDULES, TASKS

#: The model of qcore -> the table of django-q, and the kind of its rows in ``Moved``.
_TARGETS: dict[Any, tuple[str, str]] = {
    QcoreSchedule: (SCHEDULES, "schedule"),
    QcoreTask: (TASKS, "task"),
}


def move_keys(part: Part, alias: str, *, dry_run: bool) -> None:
    """Let the constraints of a database name the tables of qcore.

    Args:
        part: notes what becomes of each.
        alias: of the database.
        dry_run: only say which.
    """
    # all first: SQLite makes a table anew, with all of its constraints
    found = [
        (model, field)
        for model, field in _fields(alias)
        if _names(model, field, _TARGETS[_target(field)][0], alias)
    ]
    for model, field in found:
        target = _target(field)
        _table, kind = _TARGETS[target]
        what = f"{model._meta.db_table}.{field.column}"  # noqa: SLF001 - Django's
        try:
            if not dry_run:
                _move(model, field, target, kind, alias)
        except (DatabaseError, ValueError) as error:
            part.left.append((what, str(error)))
        else:
            part.moved += 1


def _fields(alias: str) -> Iterator[tuple[Any, Any]]:
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta  # noqa: SLF001 - Django's public name of it
        if (
            not meta.managed
            or meta.proxy
            or not router.allow_migrate_model(alias, model)
        ):
            continue
        if meta.app_label in {"qcore", "qcore_orm", "django_q"}:
            continue
        for field in meta.local_fields:
            if isinstance(field, models.ForeignKey) and _is_bound(field):
                target: Any = field.remote_field.model
                if target._meta.concrete_model in _TARGETS:  # noqa: SLF001
                    yield model, field


def _is_bound(field: Any) -> bool:
    return bool(field.db_constraint)


def _target(field: Any) -> Any:
    return field.remote_field.model._meta.concrete_model  # noqa: SLF001 - Django's


def _names(model: Any, field: Any, table: str, alias: str) -> bool:
    """Return whether the constraint of a column names the old table."""
    connection = connections[alias]
    name = model._meta.db_table  # noqa: SLF001 - Django's public name of it
    with connection.cursor() as cursor:
        if name not in connection.introspection.table_names(cursor):
            return False
        found = connection.introspection.get_constraints(cursor, name)
    return any(
        one["columns"] == [field.column] and (one["foreign_key"] or ("",))[0] == table
        for one in found.values()
    )


def _move(model: Any, field: Any, target: Any, kind: str, alias: str) -> None:
    """Move one column.

    Raises:
        ValueError: it may not be empty, and leads to rows that were not moved.
    """
    count = 0 if field.null else _lost(model, field, target, kind, alias).count()
    if count:
        raise ValueError(
            f"{count:,} rows lead to rows of django-q that were not moved, and the column"
            " may not be empty. Change or delete these rows, and run this again."
        )
    loose = _without_constraint(field)
    with connections[alias].schema_editor() as editor:
        editor.alter_field(model, field, loose)
    if field.null:
        _lost(model, field, target, kind, alias).update(**{field.name: None})
    _translate(model, field, target, kind, alias)
    with connections[alias].schema_editor() as editor:
        editor.alter_field(model, loose, field)


def _without_constraint(field: Any) -> Any:
    loose = copy.copy(field)
    loose.remote_field = copy.copy(field.remote_field)
    loose.db_constraint = False
    return loose


def _type(target: Any) -> Any:
    return models.BigIntegerField() if target is QcoreSchedule else models.CharField()


def _lost(model: Any, field: Any, target: Any, kind: str, alias: str) -> Any:
    """Return the rows that lead to a row of django-q that was not moved.

    Not those that lead to no row of qcore: another one may have that id.
    """
    moved = Moved.objects.using(alias).filter(kind=kind)
    olds = moved.annotate(id_there=Cast("old", _type(target))).values("id_there")
    rows = model._base_manager.using(alias)  # noqa: SLF001 - Django's way
    rows = rows.exclude(**{f"{field.attname}__isnull": True})
    return rows.exclude(**{f"{field.attname}__in": olds})


def _translate(model: Any, field: Any, target: Any, kind: str, alias: str) -> None:
    """Write the new ids where they differ, all in one statement: 5 may be 9, and 9 be 12."""
    moved = Moved.objects.using(alias).filter(kind=kind).exclude(new=F("old"))
    read = field.target_field.to_python
    cases = [
        When(**{field.attname: read(old)}, then=Value(read(new)))
        for old, new in moved.values_list("old", "new")
    ]
    if cases:
        ids = Case(*cases, default=F(field.attname), output_field=_type(target))
        rows = model._base_manager.using(alias)  # noqa: SLF001 - Django's way
        rows.update(**{field.name: ids})
