"""Schedules: each becomes one of qcore, with its id where that is free."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.color import no_style
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from qcore.errors import QcoreError
from qcore.models import Schedule as QcoreSchedule
from qcore.runtime import current
from qcore.schedules import rules

from ..models import Moved, Schedule
from .report import Part
from .tables import SCHEDULES, model_of

KIND = "schedule"

_COLUMNS = (
    *("name", "func", "hook", "args", "kwargs", "schedule_type", "minutes", "cron"),
    *("next_run", "task", "cluster", "intended_date_kwarg"),
)


def move_schedules(part: Part, alias: str, *, catch_up: bool) -> None:
    """Move the schedules of a database.

    Args:
        part: notes what becomes of each.
        alias: of the database.
        catch_up: keep the time of what is overdue: its missed slots run as the setting
            ``catch_up`` says. Else it goes on with its next slot.
    """
    old = model_of(SCHEDULES, alias)
    if old is None:
        return
    done = set(
        Moved.objects.using(alias).filter(kind=KIND).values_list("old", flat=True)
    )
    for row in old.objects.using(alias).order_by("pk").iterator():
        if str(row.pk) in done:
            part.before += 1
            continue
        what = f"{row.pk} ({row.name or row.func})"
        try:
            with transaction.atomic(using=alias):
                note = _move(row, alias, catch_up=catch_up)
        except ValidationError as error:
            part.left.append((what, _told(error)))
        except (QcoreError, DatabaseError, ValueError) as error:
            part.left.append((what, str(error)))
        else:
            part.moved += 1
            if note:
                part.notes.append((what, note))
    if part.moved:
        _reset_sequence(alias)


def _move(row: Any, alias: str, *, catch_up: bool) -> str:
    """Move one schedule; return what is to be said of it."""
    values = {name: getattr(row, name, None) for name in _COLUMNS}
    repeats = max(row.repeats, -1)  # django-q 1.3 counts "for ever" down from there
    made = Schedule(**{**values, "args": row.args or "", "kwargs": row.kwargs or ""})
    made.repeats = repeats
    note = ""
    if made.next_run is None:
        made.next_run = timezone.now()
    elif not catch_up:
        note = _skip_missed(made)
    if missing := _missing(row.func):
        made.paused = True
        note = f"{note and note + '; '}{missing}: it is paused"
    made.full_clean(validate_unique=False, validate_constraints=False)
    if not QcoreSchedule.objects.using(alias).filter(pk=row.pk).exists():
        made.pk = row.pk
    made.save(force_insert=True, using=alias)
    if made.pk != row.pk:
        note = f"{note and note + '; '}its id is now {made.pk}, for {row.pk} was taken"
    Moved.objects.using(alias).create(kind=KIND, old=str(row.pk), new=str(made.pk))
    return note


def _skip_missed(made: Schedule) -> str:
    """Let what is overdue go on with its next slot; return what is to be said of it."""
    now = timezone.now()
    due = made.next_run
    if due >= now or made.schedule_type == Schedule.ONCE or made.repeats == 0:
        return ""
    rule = made.entry.rule(current.conf)
    slots, following = rules.due_slots(rule, _utc(due), _utc(now), catch_up=False)
    if not slots or following is None:
        return ""
    made.next_run = following if due.tzinfo else following.replace(tzinfo=None)
    return f"was due at {due:%Y-%m-%d %H:%M}, and goes on at {following:%Y-%m-%d %H:%M}"


def _missing(path: str) -> str:
    """Return what to say of a function whose package is not installed here."""
    top = path.partition(".")[0]
    try:
        is_there = top in sys.modules or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        is_there = False
    return "" if is_there else f"its function {path} cannot be found here"


def _utc(moment: dt.datetime) -> dt.datetime:
    return timezone.make_aware(moment) if moment.tzinfo is None else moment


def _told(error: ValidationError) -> str:
    return " ".join(
        f"{name}: {text}" if name != "__all__" else text
        for name, texts in error.message_dict.items()
        for text in texts
    )


def _reset_sequence(alias: str) -> None:
    """Let the next id of the table follow the ids that were given."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [QcoreSchedule]):
            cursor.execute(statement)
