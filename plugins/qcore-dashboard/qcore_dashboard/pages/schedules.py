"""Schedules: their rules in words, the next runs, how the last ones went."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from django.core.paginator import Paginator
from django.db import router
from django.db.models import F, Window
from django.db.models.functions import RowNumber

from qcore.envelope import new_id
from qcore.errors import QcoreError
from qcore.masking import mask_url
from qcore.models import Schedule, ScheduleSlot, Task
from qcore.models.tables import RESULTS, SCHEDULES, kept_elsewhere
from qcore.pages import BadQuery
from qcore.runtime import current
from qcore.schedules import rules
from qcore.schedules.datetimes import read
from qcore.tasks.sending import send

from ..problems import Problems, told

if TYPE_CHECKING:
    from django.http import HttpRequest

#: Schedules on a page, and the runs of each that the page shows.
SIZE, NEXT, LAST = 25, 5, 10


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document."""
    problems = Problems()
    elsewhere = kept_elsewhere(SCHEDULES)
    document: dict[str, Any] = {
        "zone": settings.TIME_ZONE or "local time",
        "schedules": None,
        "page_number": 1,
        "pages": 1,
        "elsewhere": elsewhere and f"{elsewhere[0].upper()}{elsewhere[1:]}.",
        "problems": problems,
    }
    if elsewhere is None:
        found = problems.attempt(lambda: _page(request.GET.get("p", "1")))
        document |= found or {}
    return document


def _page(number: str) -> dict[str, Any]:
    """Return the schedules of a page; a number that is out of range is the nearest one."""
    rows = Schedule.objects.using(router.db_for_write(Schedule))
    pages = Paginator(rows.order_by("next_run", "pk"), SIZE)
    page = pages.get_page(number)
    shown = list(page.object_list)
    runs = _last_runs([row.pk for row in shown])
    return {
        "schedules": [_described(row, runs.get(row.pk, [])) for row in shown],
        "page_number": page.number,
        "pages": pages.num_pages,
    }


def _last_runs(keys: list[int]) -> dict[int, list[dict[str, Any]]]:
    """Return the last slots of each schedule, the newest first, with their outcomes.

    Slots are kept for a day.
    """
    if not keys:
        return {}
    place = Window(
        RowNumber(), partition_by=F("schedule_id"), order_by=F("slot").desc()
    )
    slots = ScheduleSlot.objects.using(router.db_for_write(ScheduleSlot))
    found = list(
        slots.filter(schedule_id__in=keys)
        .annotate(place=place)
        .filter(place__lte=LAST)
        .order_by("schedule_id", "-slot")
        .values_list("schedule_id", "slot", "task_id", "sent")
    )
    outcomes = _outcomes([task for _, _, task, _ in found])
    runs: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for key, slot, task, sent in found:
        outcome = outcomes.get(task)
        runs[key or 0].append(
            {
                "at": _moment(slot),
                "task_id": task,
                "outcome": outcome or ("sent" if sent else "not sent yet"),
                "is_good": None if outcome is None else outcome == "success",
            }
        )
    return runs


def _outcomes(ids: list[str]) -> dict[str, str]:
    """Return how tasks have ended, of those in the table of results."""
    if not ids or kept_elsewhere(RESULTS):
        return {}
    rows = Task.objects.using(router.db_for_write(Task)).filter(pk__in=ids)
    return dict(rows.values_list("pk", "outcome"))


def _described(row: Schedule, runs: list[dict[str, Any]]) -> dict[str, Any]:
    error, when, following = row.error, "", []
    try:
        when = rules.explain(row.entry.rule(current.conf))
        following = row.next_runs(NEXT)
    except QcoreError as wrong:
        error = error or str(wrong)
    return {
        "id": row.pk,
        "name": row.name or str(row.pk),
        "func": row.func,
        "when": when,
        "zone": row.tz,
        "queue": row.cluster or current.conf.queue,
        "is_declared": row.declared,
        "is_paused": row.paused,
        "repeats": None if row.repeats < 0 else row.repeats,
        "next_runs": [_moment(run) for run in following],
        "next_try": None if row.retry_at is None else _moment(row.retry_at),
        "last_runs": runs,
        "error": mask_url(error) or None,
    }


def _moment(value: dt.datetime) -> float:
    return read(value).timestamp()


# -- actions -----------------------------------------------------------------------
def _chosen(request: HttpRequest) -> Schedule:
    key = request.POST.get("id", "")
    if not (key.isascii() and key.isdigit()) or len(key) > 18:
        raise BadQuery("The form names no schedule. Expected the field 'id', a number.")
    if elsewhere := kept_elsewhere(SCHEDULES):
        raise BadQuery(elsewhere)
    rows = Schedule.objects.using(router.db_for_write(Schedule))
    row: Schedule | None = rows.filter(pk=key).first()
    if row is None:
        raise BadQuery(f"There is no schedule {key} any more.")
    return row


def run_now(request: HttpRequest) -> str:
    """Send the task of a schedule now; its next run stays where it is."""
    row = _chosen(request)
    try:
        task = row.entry.task(current.conf, row.pk, dt.datetime.now(dt.UTC))
    except QcoreError as error:
        raise BadQuery(f"{row} cannot be run: {told(error)}") from error
    # an id of its own: the same second may be a slot, too
    task = msgspec.structs.replace(task, id=new_id())
    send([task], commit="now")
    return f"{row} was sent as task {task.id}. Its next run stays where it is."


def pause(request: HttpRequest) -> str:
    """Pause a schedule."""
    return _set_paused(request, paused=True)


def resume(request: HttpRequest) -> str:
    """Let a schedule run again."""
    return _set_paused(request, paused=False)


def _set_paused(request: HttpRequest, *, paused: bool) -> str:
    row = _chosen(request)
    word = "paused" if paused else "resumed"
    if row.declared:
        raise BadQuery(
            f"{row} is declared in the code, which is where it is {word}: @every and"
            " @cron."
        )
    if row.paused == paused:
        return f"{row} {'is paused' if paused else 'was not paused'} already."
    row.paused = paused
    if not paused:
        row.error, row.tries, row.retry_at = "", 0, None
    row.save()
    return f"{row} is {word}."
