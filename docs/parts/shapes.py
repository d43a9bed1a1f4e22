"""Shapes and types that travel, from the modules that define them."""

from __future__ import annotations

import inspect
import re

import qcore.serializers
from qcore.status import Snapshot


def types() -> str:
    """Return the paragraph on the types that JSON carries, from the serializers."""
    doc = inspect.getdoc(qcore.serializers) or ""
    found = re.search(r"(The types of ``json``.*)", doc, re.DOTALL)
    if found is None:
        raise SystemExit("the docstring of qcore.serializers does not list its types")
    return found[1]


def snapshot() -> str:
    """Return the fields of a status snapshot with the comments of its source."""
    source = inspect.getsource(Snapshot)
    rows = ["| field | type | meaning |", "| --- | --- | --- |"]
    line = re.compile(
        r"^    (\w+): ([\w\[\] |]+?)(?: = .*?)?(?:  # (.*))?$", re.MULTILINE
    )
    for name, type_, comment in line.findall(source):
        shown = type_.replace("|", "\\|")
        rows.append(f"| `{name}` | `{shown}` | {comment} |")
    return "\n".join(rows)
