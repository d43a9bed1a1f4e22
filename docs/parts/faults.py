"""The table of faults: rows, tests and what runs have shown, as pages of the manual."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faults.table import Row

ROOT = Path(__file__).resolve().parents[2]


def summary() -> str:
    """Return how many rows there are, and what is known of them."""
    from faults.table import counts, table

    rows = table()
    said = {
        "green": "green: every test of the row passed when it was recorded last",
        "red": "red: a test failed when it was recorded last",
        "not recorded": "tested, and a test of the row is not recorded yet",
        "by hand": "of tier 3: minutes of load, run by hand",
        "not done": "not done; the row says why",
    }
    lines = [f"| {len(rows)} rows | |", "| ---: | --- |"]
    lines += [f"| {number} | {said[state]} |" for state, number in counts(rows).items()]
    return "\n".join(lines)


def proved() -> str:
    """Return one heading per group and one line per row."""
    from faults.table import table

    text = []
    for group, rows in groupby(table(), key=lambda row: row.group):
        lines = [
            "| | what happens | what must happen | promise | shown by | on | last green run |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
        text += [f"## {group}", "\n".join(lines)]
    return "\n\n".join(text)


def _cells(row: Row) -> Iterable[str]:
    yield row.id
    yield row.happens
    yield row.must
    yield ", ".join(row.promise)
    shown = [_test(test) for test in row.tests]
    yield "<br>".join([*shown, *([f"*{row.reason}*"] if row.reason else [])]) or "-"
    yield ", ".join(row.services) or "-"
    yield _last(row)


def _last(row: Row) -> str:
    if row.state == "red":
        return "**red**"
    if row.last is None or not row.tests:
        return "-"
    day = f"{row.last.date}, {row.last.version} (`{row.last.commit}`)"
    return day if row.state == "green" else f"{day}, not all"


def _test(test: str) -> str:
    """Return a test as its sentence and its file."""
    path, _, name = test.partition("::")
    words = name.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return f"{words.capitalize()} (`{path}`)"


# the tests are no package of ours; their folder is on the path while pytest runs
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))
