"""The system checks, from the table of their ids."""

from __future__ import annotations

from qcore.checks import IDS

LEVELS = {"E": "error", "W": "warning", "I": "info"}


def table() -> str:
    """Return all ids with their level and meaning."""
    rows = ["| id | level | meaning |", "| --- | --- | --- |"]
    for id, meaning in IDS.items():
        level = LEVELS[id.rpartition(".")[2][0]]
        rows.append(f"| `{id}` | {level} | {meaning} |")
    return "\n".join(rows)
