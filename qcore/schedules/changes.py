"""Changes: what a schedule said when it was read, and what that means for its next run.

Clusters move a schedule on while others hold it in memory, edit it and save it. So a
schedule remembers what was read. A save writes back what somebody has changed, not what
was merely read; and a rule that was changed gets a next run of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from . import rules

#: Columns that make the rule.
RULE = frozenset({"schedule_type", "minutes", "cron", "seconds", "tz"})

#: Columns that clusters write, too.
SHARED = frozenset(
    {
        "next_run",
        "anchor",
        "repeats",
        "task",
        "paused",
        "error",
        "tries",
        "retry_at",
    }
)

WATCHED = RULE | SHARED

_LOOKS_AT = {rules.MINUTES: "minutes", rules.SECONDS: "seconds", rules.CRON: "cron"}


def rule_of(columns: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the rule in these columns, without the columns that its type ignores."""
    kind = columns.get("schedule_type")
    look = _LOOKS_AT.get(kind or "")
    return kind, columns.get(look) if look else None, columns.get("tz") or None


def calls_for_a_next_run(
    seen: Mapping[str, Any],
    now: Mapping[str, Any],
    written: Collection[str] | None,
    moment: dt.datetime,
) -> bool:
    """Return whether the next run that is about to be saved is not that of the rule.

    Args:
        seen: columns as they were read; empty where the schedule is new.
        now: columns as they are.
        written: the columns that are saved; None: all.
        moment: the time.
    """
    if not seen:
        return False
    if _is_renewed(seen, now, written):
        return True
    return _is_resumed(seen, now, written) and bool(now["next_run"] <= moment)


def _is_renewed(
    seen: Mapping[str, Any], now: Mapping[str, Any], written: Collection[str] | None
) -> bool:
    """Return whether the rule was changed, and the next run was not."""

    def changed(name: str) -> bool:
        saved = written is None or name in written
        return saved and name in seen and seen[name] != now.get(name)

    if changed("next_run"):
        return False  # who changes it says when
    saved = {name: now.get(name) if changed(name) else seen.get(name) for name in RULE}
    return seen.keys() >= RULE and rule_of(saved) != rule_of(seen)


def _is_resumed(
    seen: Mapping[str, Any], now: Mapping[str, Any], written: Collection[str] | None
) -> bool:
    """Return whether a schedule that had ended gets more runs."""
    saved = written is None or "repeats" in written
    same = "next_run" in seen and seen["next_run"] == now.get("next_run")
    return saved and same and seen.get("repeats") == 0 and now.get("repeats") != 0
