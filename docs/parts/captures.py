"""What commands have shown: documents of real runs, written out as a terminal has them.

The documents are what ``--json`` gave; the text is made by the code of the commands, so
a change of theirs is a change here.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec

from qcore.cli.info import render as render_info
from qcore.demo.report import OUTCOMES, Line, Summary
from qcore.doctor.report import Report, Section
from qcore.findings import Finding
from qcore.monitor.look import View
from qcore.monitor.plain import render as render_view
from qcore.monitor.text import Paint
from qcore.status import Snapshot

FOLDER = Path(__file__).resolve().parent.parent / "captures"
WIDTH = 80
PLAIN = Paint(StringIO())


def monitor() -> str:
    """Return what ``qcore monitor`` shows of a cluster at work."""
    document = _load("monitor")
    queue = document["queue"]
    view = View(
        at=document["at"],
        project=document["project"],
        queue=queue["name"],
        broker=document["broker"],
        route=document["status_route"],
        waiting=queue["waiting"],
        claimed=queue["claimed"],
        oldest=queue["oldest_seconds"],
        clusters=msgspec.convert(document["clusters"], list[Snapshot]),
        rates={one["cluster"]: one["rate"] for one in document["clusters"]},
    )
    with _clock_of_utc():
        return _shown("qcore monitor", render_view(view, WIDTH, PLAIN))


def info() -> str:
    """Return what ``qcore info`` shows."""
    return _shown("qcore info", render_info(_load("info")))


def doctor() -> str:
    """Return what ``qcore doctor`` shows."""
    document = _load("doctor")
    sections = tuple(
        Section(one["name"], tuple(Finding(**found) for found in one["findings"]))
        for one in document["sections"]
    )
    report = Report(project=document["project"], at=document["at"], sections=sections)
    return _shown("qcore doctor", report.lines(WIDTH, PLAIN))


def demo() -> str:
    """Return the summary of ``qcore demo``."""
    document = _load("demo")
    lines = [
        Line(
            kind=one["kind"],
            sent=one["sent"],
            outcomes={outcome: one[outcome] for outcome in OUTCOMES},
            attempts=one["attempts"],
            wait=one["wait_seconds"],
            run=one["run_seconds"],
            complaint=one["complaint"],
        )
        for one in document["kinds"]
    ]
    summary = Summary(
        lines=lines,
        sending=document["sent_per_second"],
        working=document["done_per_second"],
        seconds=document["seconds"],
        workers=document["workers"],
        traceback=document["traceback"],
    )
    return _shown("qcore demo", summary.render())


def _load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def _shown(command: str, lines: list[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines)
    return f"```text\n$ {command}\n{text}\n```"


@contextmanager
def _clock_of_utc() -> Iterator[None]:
    """Let local time be that of UTC, so that everybody's page is the same."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
