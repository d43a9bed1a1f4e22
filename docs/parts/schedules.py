"""The types of schedules, from the rules."""

from __future__ import annotations

from qcore.models import Schedule
from qcore.schedules.rules import LABELS

_NEEDS = {"S": "`seconds`", "I": "`minutes`", "C": "`cron`"}


def types() -> str:
    """Return the table of types with their constants."""
    names = {
        value: name
        for name, value in vars(Schedule).items()
        if name.isupper() and isinstance(value, str)
    }
    rows = ["| type | constant | meaning | needs |", "| --- | --- | --- | --- |"]
    for key, label in LABELS.items():
        needs = _NEEDS.get(key, "-")
        rows.append(f'| `"{key}"` | `Schedule.{names[key]}` | {label} | {needs} |')
    return "\n".join(rows)
