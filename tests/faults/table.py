"""The table of faults: what can happen, what must happen then, and what shows that it does.

The rows are data, one file of ``rows/`` for each group::

    [A1]
    happens = "A worker is killed while it runs a task"
    must = "The dispatcher knows at once; the task starts again in another worker"
    promise = ["P1", "P5"]      # of docs/explanation/promises.md
    tier = 2                    # see below
    reason = "..."              # where there is no test: why

The tiers are 1: in this process; 2: with processes and servers; 3: minutes, by hand;
0: nothing to be tested. A test says with ``@pytest.mark.fault("A1")`` which rows it
proves; that is read from its text. When it did so was written by a run, see
``report.py``.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: What runs have written down.
RECORD = HERE / "record.json"

State = Literal["green", "red", "not recorded", "by hand", "not done"]
STATES: tuple[State, ...] = ("green", "red", "not recorded", "by hand", "not done")


class Seen(NamedTuple):
    """What one test has shown of one row when it was run last."""

    passed: bool
    services: tuple[str, ...]  # that it ran on: "Redis", "SQLite"
    version: str  # of qcore
    commit: str  # "1a2b3c4", with a plus sign where files were changed
    date: str  # UTC, ISO 8601


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault."""

    id: str  # a letter for the group, and a number
    group: str  # title of the group
    happens: str
    must: str
    promise: tuple[str, ...]
    tier: int
    reason: str = ""
    tests: tuple[str, ...] = ()  # path::name
    seen: Mapping[str, Seen]

    @property
    def state(self) -> State:
        """What is known of it; red as soon as one of its tests is."""
        if any(one.passed is False for one in self.seen.values()):
            return "red"
        if self.tests and self.seen.keys() >= set(self.tests):
            return "green"
        if self.tier == 3:
            return "by hand"
        return "not recorded" if self.tests else "not done"

    @property
    def is_open(self) -> bool:
        """Whether it has neither a test nor a reason, and should have one."""
        return not self.tests and not self.reason

    @property
    def services(self) -> list[str]:
        """What its tests have run on."""
        return sorted({name for one in self.seen.values() for name in one.services})

    @property
    def last(self) -> Seen | None:
        """The oldest of the last runs of its tests: since then all of it holds."""
        return min(self.seen.values(), key=lambda one: one.date, default=None)


def table() -> list[Row]:
    """Return all rows, in order.

    Raises:
        ValueError: a file of ``rows/`` has a row that belongs to another one.
    """
    tests, record = marks(), read_record()
    rows = []
    for path in sorted((HERE / "rows").glob("*.toml")):
        text = tomllib.loads(path.read_text())
        group = text.pop("title")
        for id, fields in text.items():
            if not id.startswith(path.stem.upper()) or not id[1:].isdigit():
                raise ValueError(f"{path.name} has a row {id!r}")
            own = tuple(tests.get(id, ()))
            seen = {
                test: one for test, one in record.get(id, {}).items() if test in own
            }
            rows.append(_row(id, group, fields, own, seen))
    return rows


def counts(rows: list[Row]) -> Mapping[State, int]:
    """Return how many rows are in each state."""
    found = Counter(row.state for row in rows)
    return {state: found[state] for state in STATES}


def _row(
    id: str,
    group: str,
    fields: dict[str, Any],
    tests: tuple[str, ...],
    seen: Mapping[str, Seen],
) -> Row:
    promise = tuple(fields.pop("promise"))
    return Row(id=id, group=group, promise=promise, tests=tests, seen=seen, **fields)


# -- marks ---------------------------------------------------------------------------
def files() -> list[Path]:
    """Return every file of tests."""
    paths = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("plugins/*/tests/test_*.py")]
    return sorted(paths)


@cache
def marks() -> Mapping[str, list[str]]:
    """Return for each row that a mark names its tests, as ``path::name``."""
    found: dict[str, list[str]] = {}
    for path in files():
        for rows, name in _marked(ast.parse(path.read_text())):
            test = f"{path.relative_to(ROOT).as_posix()}::{name}"
            for row in rows:
                if test not in found.setdefault(row, []):
                    found[row].append(test)
    return found


def _marked(tree: ast.Module) -> Iterator[tuple[set[str], str]]:
    """Yield the rows that each test of a file has: its own, its class's, its file's."""
    shared = {
        row
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for row in _rows_in(node.value)
    }
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            own = shared | _rows_of(node)
            for test in filter(_is_test, node.body):
                yield own | _rows_of(test), f"{node.name}::{test.name}"
        elif _is_test(node):
            yield shared | _rows_of(node), node.name


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def _rows_of(node: Any) -> set[str]:
    return {row for one in node.decorator_list for row in _rows_in(one)}


def _rows_in(tree: ast.AST) -> set[str]:
    return {
        str(ast.literal_eval(word))
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault"
        for word in call.args
    }


# -- what runs have shown ------------------------------------------------------------
def read_record(path: Path = RECORD) -> dict[str, dict[str, Seen]]:
    """Return what runs have written down: row -> test -> what it has shown."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text())
    return {
        row: {
            test: Seen(**{**one, "services": tuple(one["services"])})
            for test, one in tests.items()
        }
        for row, tests in rows.items()
    }


def write_record(record: Mapping[str, Mapping[str, Seen]], path: Path = RECORD) -> None:
    """Write it, one line for each test, so that a change can be read."""
    blocks = []
    for row in sorted(record, key=lambda id: (id[0], int(id[1:]))):
        lines = ",\n".join(
            f"    {json.dumps(test)}: {json.dumps(one._asdict())}"
            for test, one in sorted(record[row].items())
        )
        blocks.append(f'  "{row}": {{\n{lines}\n  }}')
    path.write_text("{\n" + ",\n".join(blocks) + "\n}\n")
