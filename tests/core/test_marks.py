"""What a quick run leaves out is known by its marks, and a test without one starts nothing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.marks import WITH_PROGRAMS, pytest_itemcollected

ROOT = Path(__file__).resolve().parents[2]


def test_a_test_without_a_mark_starts_no_program():
    """This one has none."""
    with pytest.raises(AssertionError, match=r"@pytest\.mark\.live"):
        subprocess.run([sys.executable, "-c", "pass"], check=False)
    with pytest.raises(AssertionError, match=r"test_a_test_without_a_mark"):
        os.system("true")


@pytest.mark.live
def test_a_test_with_a_mark_may():
    assert subprocess.run([sys.executable, "-c", "pass"], check=True).returncode == 0


def test_a_fixture_marks_who_asks_for_it():
    for names, marks in (
        ({"tmp_path"}, set()),
        ({"start", "tmp_path"}, {"live"}),
        ({"redis_server"}, {"service"}),
        ({"make_database", "qcore"}, {"service", "live"}),
    ):
        item = Item(names)
        pytest_itemcollected(item)
        assert item.marks == marks


class Item:
    """As much of a test as the marks ask for."""

    cls = None

    def __init__(self, fixturenames):
        self.fixturenames = fixturenames
        self.marks = set()

    def add_marker(self, name):
        self.marks.add(name)


def test_the_quick_run_leaves_out_what_may_start_programs():
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    (left_out,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LEFT_OUT"
    )
    assert set(left_out) == set(WITH_PROGRAMS)
