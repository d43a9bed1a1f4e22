"""What the models of migrations do that migrations of projects count on.

A data migration of a project gets the models of that time, which have none of the methods
of ``models``. It stores schedules as django-q does all the same.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone


class HistoricalSchedule:
    """Makes rows as django-q does: run now, arguments as text of literals."""

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it."""
        from .schedules import stored

        row: Any = self
        if row.next_run is None:
            row.next_run = timezone.now()
        if row.schedule_type == "I" and row.minutes is None:
            row.minutes = 1
        for name in ("args", "kwargs"):
            value = getattr(row, name)
            if not (isinstance(value, str) and _is_json(value)):
                setattr(row, name, stored(name, value))
        super().save(*args, **kwargs)  # type: ignore[misc]


def _is_json(text: str) -> bool:
    """Return whether a column holds what qcore has written: a list or a dict of JSON."""
    import json

    if not text:
        return True
    try:
        return isinstance(json.loads(text), list | dict)
    except ValueError:
        return False
