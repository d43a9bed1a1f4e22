"""The table of faults is whole, and what is written of it is true."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from faults.report import FaultsReport
from faults.table import (
    RECORD,
    ROOT,
    STATES,
    Row,
    Seen,
    counts,
    marks,
    read_record,
    table,
    write_record,
)
from support.contract_runs import lean_pytest

pytestmark = pytest.mark.once

TEST = "tests/faults/test_table.py::test_the_table_is_whole"


def seen(*, passed: bool = True, date: str = "2026-01-01") -> Seen:
    return Seen(passed, ("Redis",), "2.0.0", "1a2b3c4", date)


def row(**fields) -> Row:
    given = {
        "id": "A1", "group": "", "happens": "", "must": "", "promise": ("P1",),
        "tier": 2, "seen": {},
    }  # fmt: skip
    return Row(**(given | fields))


def test_the_table_is_whole():
    """Rows are never renumbered, and each group counts from 1 without a gap."""
    rows = [row.id for row in table()]
    size = Counter(id[0] for id in rows)
    wanted = {f"{group}{n}" for group in size for n in range(1, size[group] + 1)}
    assert len(rows) == len(set(rows))
    assert set(rows) == wanted
    assert "".join(sorted(size)) == "ABCDEFGHIJKLMPS"


def test_every_row_names_promises_of_the_manual():
    page = (ROOT / "docs" / "explanation" / "promises.md").read_text()
    promises = set(re.findall(r"^- \*\*(P\d+)\. ", page, re.MULTILINE))
    assert promises == {f"P{number}" for number in range(1, 13)}
    assert [row.id for row in table() if not set(row.promise) <= promises] == []
    assert [row.id for row in table() if row.tier not in range(4)] == []


def test_every_mark_names_a_row():
    known = {row.id for row in table()}
    assert {id: tests for id, tests in marks().items() if id not in known} == {}


def test_marks_are_found_where_pytest_finds_them():
    assert TEST not in {test for tests in marks().values() for test in tests}
    parameter = (
        "tests/engine/test_live_deaths.py::test_a_task_that_nothing_stops_is_killed"
    )
    assert parameter in marks()["B6"]


def test_every_row_has_a_test_or_a_reason():
    """A reason says why there is none; it stands in ``rows/`` and in the manual."""
    assert [row.id for row in table() if row.is_open] == []


# -- what runs have shown ------------------------------------------------------------
def test_the_record_names_rows_and_services():
    known = {row.id for row in table()}
    assert read_record(RECORD).keys() <= known
    assert counts(table()).keys() == set(STATES)


def test_a_record_comes_back_as_it_was_written(tmp_path):
    record = {"B2": {"b": seen(), "a": seen(passed=False)}, "B10": {"c": seen()}}
    write_record(record, tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == record
    assert read_record(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        pytest.param({}, "not done", id="nothing"),
        pytest.param({"reason": "no such thing"}, "not done", id="a reason"),
        pytest.param({"tests": ("a",)}, "not recorded", id="never run"),
        pytest.param(
            {"tests": ("a", "b"), "seen": {"a": seen()}}, "not recorded", id="half"
        ),
        pytest.param({"tests": ("a",), "seen": {"a": seen()}}, "green", id="green"),
        pytest.param(
            {"tests": ("a", "b"), "seen": {"a": seen(), "b": seen(passed=False)}},
            "red",
            id="red",
        ),
        pytest.param({"tests": ("a",), "tier": 3}, "by hand", id="by hand"),
    ],
)
def test_the_state_of_a_row(fields, state):
    assert row(**fields).state == state


def test_the_oldest_run_of_a_row_counts():
    both = {"a": seen(date="2026-03-01"), "b": seen(date="2026-02-01")}
    assert row(tests=("a", "b"), seen=both).last.date == "2026-02-01"


CASES = """
import pytest
from servers.redis import RedisServer

@pytest.fixture
def server(): return RedisServer.__new__(RedisServer)  # nothing is started

@pytest.fixture
def broken(): raise RuntimeError

@pytest.mark.fault("A1")
def test_passes(server): pass

@pytest.mark.fault("A2")
@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.fault("A3"))])
def test_fails_once(number): assert number == 2

@pytest.mark.fault("A4")
def test_is_skipped(): pytest.skip("no")

@pytest.mark.fault("A5")
def test_breaks(broken): pass

def test_has_no_row(): pass
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("processes", [(), ("-p", "xdist", "-n", "2")], ids=len)
def test_a_run_is_written_down(tmp_path, processes):
    """What passes, fails, breaks and is skipped, in a pytest of its own."""
    (tmp_path / "test_cases.py").write_text(CASES)
    path = tmp_path / "record.json"
    done = lean_pytest(ROOT, *processes, f"--faults-report={path}", str(tmp_path))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    shown = {
        (row, test.partition("::")[2]): (one.passed, one.services)
        for row, tests in read_record(path).items()
        for test, one in tests.items()
    }
    assert shown == {
        ("A1", "test_passes"): (True, ("Redis",)),
        ("A2", "test_fails_once"): (False, ()),
        ("A3", "test_fails_once"): (True, ()),
        ("A5", "test_breaks"): (False, ()),
    }


def test_a_record_forgets_what_is_marked_no_more(tmp_path):
    path = tmp_path / "record.json"
    kept = marks()["A1"][0]
    write_record({"A1": {kept: seen(), "gone.py::test_it": seen()}}, path)
    report = FaultsReport(path)
    report.outcomes["A2", "new.py::test_it"].add(True)
    report.write()
    record = read_record(path)
    assert record["A1"] == {kept: seen()}
    assert record["A2"]["new.py::test_it"].passed
