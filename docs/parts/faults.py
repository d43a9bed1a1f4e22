"""The faults that tests inject, from the marks and the names of these tests.

The name of a test is its sentence, and ``@pytest.mark.fault("A1")`` its place.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

GROUPS = {
    "A": "Processes die or stop",
    "B": "Tasks that misbehave",
    "C": "Arguments and results",
    "D": "The broker",
    "E": "The database",
    "F": "Clocks and schedules",
    "G": "Packages that are forged, stale or foreign",
    "H": "The admin",
    "I": "Secrets",
    "J": "Settings",
    "K": "Long runs",
    "P": "Promises",
}
_MARK = re.compile(r"mark\.fault\('([A-Z])(\d+)'\)")


def proved() -> str:
    """Return one heading per group and one line per test, with its file."""
    rows: dict[str, set[tuple[int, str, str]]] = defaultdict(set)
    for path in sorted(
        [*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/*.py")]
    ):
        for group, number, name in _marked(path):
            rows[group].add((number, name, str(path.relative_to(ROOT))))
    text = []
    for group, title in GROUPS.items():
        if not rows[group]:
            continue
        lines = ["| fault | what the test says | file |", "| --- | --- | --- |"]
        for number, name, file in sorted(rows[group]):
            lines.append(f"| {group}{number} | {_sentence(name)} | `{file}` |")
        text += [f"### {title}", "\n".join(lines)]
    return "\n\n".join(text)


def _marked(path: Path) -> Iterator[tuple[str, int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                for group, number in _MARK.findall(ast.unparse(decorator)):
                    yield group, int(number), node.name


def _sentence(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ").capitalize()
