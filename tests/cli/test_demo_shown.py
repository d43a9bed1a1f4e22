"""What `qcore demo` shows, of figures that are made up."""

from __future__ import annotations

import importlib
import io
import time
from dataclasses import replace
from types import ModuleType

import pytest

from qcore.demo.report import OUTCOMES, Line, Summary
from qcore.envelope import Outcome
from qcore.monitor.look import View
from qcore.status import Progress, Snapshot, WorkerStatus

pytest.importorskip("qcore_orm")

LINE = Line(
    kind="slow",
    sent=3,
    outcomes=dict.fromkeys(OUTCOMES, 0),
    attempts=None,
    wait=None,
    run=None,
    complaint=None,
)


@pytest.fixture
def progress(monkeypatch, tmp_path) -> ModuleType:
    """The module, whose tasks find the folder of the demo in the environment."""
    monkeypatch.setenv("QCORE_DEMO_DIR", str(tmp_path))
    return importlib.import_module("qcore.demo.progress")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(line: Line) -> list[str]:
    summary = Summary(lines=[line], sending=1, working=1, seconds=1, workers=1)
    return summary.render()[1].split(None, 2)


def ends(**counts: int) -> dict[str, int]:
    return {**LINE.outcomes, **counts}


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        (replace(LINE, outcomes=ends(success=3), attempts=2), "success  2  -  -  yes"),
        (replace(LINE, complaint="found none"), "-  -  -  -  found none"),
        (
            replace(LINE, outcomes=ends(success=2, failure=1), attempts=1),
            "2 success, 1 failure  1  -  -  yes",
        ),
        (
            replace(LINE, outcomes=ends(expired=2), attempts=1),
            "2 expired  1  -  -  yes",
        ),
    ],
)
def test_a_kind_is_shown_with_how_it_ended(line, cells):
    kind, sent, rest = shown(line)
    assert (kind, sent) == ("slow", "3")
    assert rest.split() == cells.split()


def test_every_outcome_that_is_stored_is_counted_but_for_those_of_plugins():
    # these are not stored
    never = {Outcome.SNOOZED, Outcome.STOPPED, Outcome.SUSPENDED}
    assert set(OUTCOMES) == set(Outcome) - never - {Outcome.REPLACED}


def view_of(workers: int) -> View:
    at = time.time()
    busy = WorkerStatus(
        index=1, pid=11, state="busy", func="qcore.demo.tasks.long", seconds=1
    )
    busy.progress = Progress(done=2, total=8, note="step 2 of 8")
    idle = [
        WorkerStatus(index=n, pid=10 + n, state="idle") for n in range(2, workers + 1)
    ]
    snapshot = Snapshot(
        cluster="0" * 32,
        name="demo",
        queue="demo",
        host="here",
        version="2",
        broker="ORM",
        state="running",
        sentinel_pid=1,
        dispatcher_pid=2,
        started=at,
        at=at,
        workers=[busy, *idle],
    )
    return View(
        at=at,
        project="demo",
        queue="demo",
        broker="ORM",
        route="broker",
        waiting=0,
        claimed=0,
        oldest=None,
        clusters=[snapshot],
    )


@pytest.mark.parametrize("workers", [4, 64])
def test_a_frame_fits_the_screen_and_has_what_a_task_tells(
    progress, monkeypatch, workers
):
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    kinds = importlib.import_module("qcore.demo.kinds")
    out = Tty()
    sent = kinds.kinds(5000, workers)
    with progress.Progress(sent, out) as drawn:
        for done in (0, 3, 5):
            drawn.show(kinds.Counter(fast=done), view_of(workers))
        frame = out.getvalue().rpartition("\x1b[J")[2]
    lines = frame.splitlines()
    assert len(lines) < 24
    assert any("5 of 5,000" in line for line in lines)
    assert any("step 2 of 8" in line and "[#####..." in line for line in lines)
    assert all(len(line) < 80 for line in lines)
