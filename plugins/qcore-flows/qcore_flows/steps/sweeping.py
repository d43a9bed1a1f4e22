"""Sweeping: looks for lost tasks; deletes runs and events of which nothing is expected."""

from __future__ import annotations

from django.apps import apps

from qcore.brokers.tools import chunks

from ..models.steps import Event, Run, RunStep, Spawned
from .ledger import the_ledger
from .lost import look_for_lost

#: Seconds after the end of a run for which it can be looked at, and after an event for
#: which a run that begins to wait for it finds it.
KEPT_RUNS, KEPT_EVENTS = 14 * 86_400.0, 90 * 86_400.0
#: Rows that one sweep deletes at most, and seconds until the next one.
SWEPT, EVERY = 500, 60.0
#: Ids in one statement.
MOST = 150


def sweep(now: float) -> float:
    """Look for lost tasks, and delete what is old; return the seconds until the next sweep."""
    if not apps.is_installed("qcore_flows"):
        return EVERY
    ledger = the_ledger("durable tasks")
    rests: list[float] = []
    ledger.each((_look, _prune), lambda part: rests.append(part(now)))
    return min(rests)


def _look(now: float) -> float:
    look_for_lost(now)
    return EVERY


def _prune(now: float) -> float:
    database = the_ledger("durable tasks").database
    runs = Run.objects.using(database).filter(ended__lt=now - KEPT_RUNS)
    ids = list(runs.order_by("ended").values_list("pk", flat=True)[:SWEPT])
    for part in chunks(sorted(ids), MOST):
        for model in (RunStep, Spawned):
            model._base_manager.using(database).filter(run_id__in=part).delete()  # noqa: SLF001 - public
        runs.filter(pk__in=part).delete()
    # one that somebody waits for is made again when it happens
    events = Event.objects.using(database).filter(since__lt=now - KEPT_EVENTS)
    marks = list(events.order_by("since").values_list("pk", flat=True)[:SWEPT])
    for part in chunks(sorted(marks), MOST):
        events.filter(pk__in=part).delete()
    return 0.0 if SWEPT in (len(ids), len(marks)) else EVERY
