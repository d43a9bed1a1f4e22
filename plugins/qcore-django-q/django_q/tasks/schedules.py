"""``schedule``: a function that is sent at set times."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError

from ..models import Schedule
from .defaults import UNSET
from .sending import Function


def schedule(func: Function, *args: Any, **kwargs: Any) -> Schedule:
    """Store a schedule and return it.

    Args:
        func: the dotted path of a function, or the function.
        args: its positional arguments.
        kwargs: its keyword arguments, and name, hook, schedule_type, minutes, repeats,
            next_run, cron, cluster, intended_date_kwarg.

    Raises:
        IntegrityError: there is a schedule of that name.
        ValidationError: a part of it is wrong.
    """
    from qcore.tasks.functions import path_of

    name = kwargs.pop("name", None)
    columns: dict[str, Any] = {
        column: kwargs.pop(column)
        for column in (
            *("hook", "schedule_type", "minutes", "repeats", "next_run", "cron"),
            *("cluster", "intended_date_kwarg"),
        )
        if kwargs.get(column, UNSET) is not UNSET
    }
    columns = {key: value for key, value in columns.items() if value is not None}
    if callable(columns.get("hook")):
        columns["hook"] = path_of(columns["hook"])
    if name and Schedule.objects.filter(name=name).exists():
        raise IntegrityError(f"a schedule of the name {name!r} exists already.")
    row = Schedule(
        name=name,
        func=func if isinstance(func, str) else path_of(func),
        args=args,
        kwargs=kwargs,
        **columns,
    )
    row.full_clean()
    row.save()
    return row
