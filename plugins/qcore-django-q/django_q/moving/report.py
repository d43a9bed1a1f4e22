"""The report: what was moved, what was there already, what cannot be moved and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "qcore.migrate-from/1"

#: What is moved, in its order.
PARTS = ("schedules", "results", "packages", "keys")


@dataclass(slots=True)
class Part:
    """One kind of rows."""

    name: str
    moved: int = 0
    #: Were moved by an earlier run.
    before: int = 0
    #: Moved, and something is to be said of it: what, and what is said.
    notes: list[tuple[str, str]] = field(default_factory=list)
    #: Not moved: what, and the reason.
    left: list[tuple[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "moved": self.moved,
            "before": self.before,
            "notes": [{"what": what, "note": note} for what, note in self.notes],
            "left": [{"what": what, "reason": reason} for what, reason in self.left],
        }


@dataclass(slots=True)
class Report:
    """What one run has done, or would do."""

    dry_run: bool
    parts: dict[str, Part] = field(
        default_factory=lambda: {name: Part(name) for name in PARTS}
    )

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left."""
        return not any(part.left for part in self.parts.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the document of ``--json``."""
        return {
            "schema": SCHEMA,
            "source": "django_q",
            "dry_run": self.dry_run,
            "complete": self.is_complete,
            "parts": {name: part.as_dict() for name, part in self.parts.items()},
        }

    def lines(self) -> Iterator[str]:
        """Yield the report as text."""
        verb = "would be moved" if self.dry_run else "moved"
        for part in self.parts.values():
            before = f", {part.before:,} were moved before" if part.before else ""
            left = f", {len(part.left):,} cannot be moved" if part.left else ""
            yield f"{part.name}: {part.moved:,} {verb}{before}{left}"
            for what, note in part.notes:
                yield f"  {what}: {note}"
            for what, reason in part.left:
                yield f"  not moved: {what}: {reason}"
