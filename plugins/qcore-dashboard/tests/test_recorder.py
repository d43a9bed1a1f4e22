"""The counts of the charts: what is written, how often, and while the database is away."""

from __future__ import annotations

import logging
import time
from functools import partial

import msgspec
import pytest
from django.db import DataError, InterfaceError, OperationalError, router
from django.db.models import F

import qcore_dashboard
from qcore.envelope import Outcome
from qcore.runtime import current
from qcore_dashboard import charts
from qcore_dashboard.models import Minute
from qcore_dashboard.problems import Problems
from qcore_dashboard.recorder import KEPT, Recorder

pytestmark = pytest.mark.django_db


@pytest.fixture
def make(make):
    """Make results that have just ended: old minutes are not kept."""

    def recent(**given: object):
        now = time.time()
        found = make(**given)
        task = msgspec.structs.replace(found.task, created=now - 2)
        return msgspec.structs.replace(found, task=task, started=now - 1, stopped=now)

    return recent


def test_counts_are_added_up_and_written_together(make):
    counts = Recorder("tests")
    counts.add([make(), make(), make(outcome=Outcome.FAILURE)])
    counts.add([make()])
    assert not Minute.objects.exists()
    assert counts.write()
    rows = Minute.objects.all()  # one, or two where a minute ends meanwhile
    assert sum(row.succeeded for row in rows) == 3
    assert sum(row.failed for row in rows) == 1
    assert sum(row.run_seconds for row in rows) == pytest.approx(4.0)
    assert sum(row.wait_seconds for row in rows) == pytest.approx(4.0)
    assert not counts.write()  # there is nothing more


def test_two_clusters_of_a_queue_add_up_in_one_row(make):
    result = make()
    for _ in range(2):
        counts = Recorder("tests")
        counts.add([result])
        counts.write()
    row = Minute.objects.get()
    assert (row.succeeded, row.begun) == (2, 2)
    assert row.run_seconds == pytest.approx(2 * (result.stopped - result.started))


def test_nothing_is_lost_while_the_database_is_away(make, monkeypatch, caplog):
    counts = Recorder("tests")
    write = Recorder._write_minute

    def away(*args):
        raise OperationalError("away")

    monkeypatch.setattr(Recorder, "_write_minute", away)
    result = make()
    with caplog.at_level(logging.WARNING, "qcore.dashboard"):
        for _ in range(3):
            counts.add([result])
            counts.write()
    assert len(caplog.records) == 1  # told once
    monkeypatch.setattr(Recorder, "_write_minute", write)
    counts.write()
    assert Minute.objects.get().succeeded == 3


@pytest.mark.parametrize("error", [DataError("out of range"), TypeError("odd")])
def test_a_minute_that_is_refused_keeps_no_other_from_the_charts(
    make, monkeypatch, caplog, error
):
    counts = Recorder("tests")
    write, result = Recorder._write_minute, make()
    refused = int(result.stopped // 60) - 5
    counts.add([msgspec.structs.replace(result, stopped=refused * 60.0 + 1), result])

    def choosy(self, database, minute, sums):
        if minute == refused:
            raise error
        write(self, database, minute, sums)

    monkeypatch.setattr(Recorder, "_write_minute", choosy)
    counts.write()
    assert [row.minute for row in Minute.objects.all()] == [refused + 5]
    assert f"minute {refused} is missing in the charts" in caplog.text
    assert not counts.write(), "it is not tried for ever"


def test_what_nobody_has_foreseen_ends_no_thread(make, monkeypatch, caplog):
    """A router of the project, for example: the next counts are written."""
    counts = Recorder("tests")
    counts.add([make()])

    def fail(model):
        raise KeyError("shard")

    with monkeypatch.context() as patch:
        patch.setattr(router, "db_for_write", fail)
        counts._once()
        counts._close()
    assert "KeyError" in caplog.text
    counts._once()
    assert Minute.objects.get().succeeded == 1


def test_a_part_of_a_page_that_fails_leaves_the_others(caplog):
    """Brokers and caches may be strangers', and a driver may raise anything."""
    problems = Problems()
    for error in (InterfaceError("closed"), KeyError("redis://me:secret@there")):
        assert problems.attempt(partial(_raise, error)) is None
    assert problems[0] == "The database says: closed."
    assert problems[1].startswith("KeyError: ")
    assert "secret" not in str(problems)


def _raise(error):
    raise error


def test_the_hooks_of_a_dispatcher(make, monkeypatch):
    """It counts there and nowhere else, in a thread that ends with it."""
    written = []
    monkeypatch.setattr(Recorder, "write", lambda self: written.append(self._minutes))
    monkeypatch.setattr(Recorder, "_close", lambda self: None)
    for role in ("worker", "sentinel"):
        qcore_dashboard.qcore_process_started(role, current.conf)
        assert not qcore_dashboard._running
    qcore_dashboard.qcore_process_started("dispatcher", current.conf)
    recorder = qcore_dashboard._running["recorder"]
    qcore_dashboard.qcore_results_recorded([make()])
    qcore_dashboard.qcore_process_stopping("dispatcher")
    recorder._thread.join()
    assert [sums[0] for (sums,) in map(dict.values, written)] == [1]
    assert not qcore_dashboard._running


def test_old_minutes_go(make):
    old = int(time.time() // 60) - KEPT - 1
    Minute.objects.create(minute=old, queue="tests")
    counts = Recorder("tests")
    counts.add([make()])
    counts.write()
    assert not Minute.objects.filter(minute=old).exists()


def test_the_hour_is_summed_by_minutes():
    now = 100 * 60.0
    Minute.objects.create(
        minute=100,
        queue="a",
        succeeded=3,
        failed=1,
        run_seconds=8,
        begun=2,
        wait_seconds=1,
    )
    Minute.objects.create(minute=100, queue="b", succeeded=1, run_seconds=2)
    Minute.objects.create(minute=10, queue="a", succeeded=99)
    rows = charts.minutes(now)
    assert set(rows) == {"a", "b"}
    hour = charts.hour(charts.merged(rows), now)
    assert (hour["succeeded"], hour["failed"]) == (4, 1)
    assert (hour["run_seconds"], hour["wait_seconds"]) == (2.0, 0.5)
    assert hour["ended_series"][-1] == 5
    assert hour["run_series"][0] is None
    Minute.objects.update(minute=F("minute") - 1)
    assert charts.hour(charts.minutes(now)["a"], now)["ended_per_minute"] == 4 / 5


@pytest.mark.parametrize("series", [[], [None, None], [0, 0]])
def test_a_line_of_nothing_is_none(series):
    assert charts.line(series) is None


def test_a_gap_in_a_line_is_a_gap():
    drawn = charts.line([1.0, 2.0, None, 4.0])
    assert drawn["top"] == 4.0
    assert drawn["path"].count("M") == 2
    assert drawn["path"].endswith("h1")
