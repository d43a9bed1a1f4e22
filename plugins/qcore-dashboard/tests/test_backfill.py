"""The charts of the time before the dashboard, from results that the store has."""

from __future__ import annotations

import datetime as dt
import logging

import msgspec
import pytest
import time_machine
from django.db import OperationalError

from qcore import Result
from qcore.envelope import Outcome
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore_dashboard import backfill
from qcore_dashboard.models import Minute
from qcore_dashboard.recorder import Recorder

pytestmark = pytest.mark.django_db


#: In the middle of a minute; no test is at its end when the next one begins.
NOW = dt.datetime(2026, 6, 1, 12, 0, 30, tzinfo=dt.UTC)
MINUTE = int(NOW.timestamp() // 60)


@pytest.fixture(autouse=True)
def moment():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def ended(make):
    """Make a result that has ended so many minutes ago."""

    def ended(minutes: int, queue: str = "tests", **given: object) -> Result:
        at = NOW.timestamp() - 60 * minutes
        found = make(**given)
        task = msgspec.structs.replace(found.task, created=at - 3, queue=queue)
        return msgspec.structs.replace(found, task=task, started=at - 2, stopped=at)

    return ended


@pytest.fixture
def stored(ended):
    """Store results that have ended so many minutes ago."""

    def stored(*ago: int, **given: object) -> None:
        OrmStore(current.conf).save([ended(minutes, **given) for minutes in ago])

    return stored


def test_what_ended_before_the_dashboard_is_counted_by_minutes(ended, stored):
    stored(10, 10, 12)
    stored(10, outcome=Outcome.FAILURE)
    stored(10, queue="other")
    stored(90)  # the charts do not show it
    stored(0, 1)  # those minutes are counted by clusters themselves
    counts = Recorder("tests")
    counts.add([ended(0)])
    counts.write()
    rows = {MINUTE - row.minute: row for row in Minute.objects.all()}
    assert set(rows) == {0, 10, 12}
    row = rows[10]
    assert (row.queue, row.succeeded, row.failed, row.begun) == ("tests", 2, 1, 3)
    assert row.run_seconds == pytest.approx(6.0)
    assert row.wait_seconds == pytest.approx(3.0)
    assert (rows[12].succeeded, rows[0].succeeded) == (1, 1)


def test_where_a_cluster_has_counted_nothing_is_written(stored):
    stored(10)
    Minute.objects.create(minute=MINUTE - 30, queue="other")
    assert backfill.fill("default", "tests", MINUTE) == 1
    Minute.objects.all().delete()
    Minute.objects.create(minute=MINUTE - 30, queue="tests")
    assert backfill.fill("default", "tests", MINUTE) == 0
    assert Minute.objects.count() == 1


def test_of_very_many_results_the_newest_whole_minutes_are_counted(stored, monkeypatch):
    stored(10, 11, 12, 12, 13)
    monkeypatch.setattr(backfill, "MOST", 3)
    assert backfill.fill("default", "tests", MINUTE) == 2
    assert Minute.objects.count() == 2
    assert {row.succeeded for row in Minute.objects.all()} == {1}


def test_no_history_is_no_reason_not_to_count(ended, monkeypatch, caplog):
    """It is tried once, told once, and what has ended is written."""
    asked = []

    def away(*args):
        asked.append(args)
        raise OperationalError("away: x://u:secret@h")

    monkeypatch.setattr(backfill, "fill", away)
    counts = Recorder("tests")
    with caplog.at_level(logging.WARNING, "qcore.dashboard"):
        for _ in range(2):
            counts.add([ended(0)])
            counts.write()
    assert len(asked) == 1
    assert "secret" not in caplog.text
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert sum(row.succeeded for row in Minute.objects.all()) == 2


def test_a_cluster_that_stops_does_not_look_back(ended, monkeypatch):
    monkeypatch.setattr(backfill, "fill", lambda *args: pytest.fail("it looks back"))
    counts = Recorder("tests")
    counts._stopping.set()
    counts.add([ended(0)])
    assert counts.write()
    assert Minute.objects.exists()
