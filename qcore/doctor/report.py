"""What was found, as text for people and as JSON for scripts."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from .. import __version__
from ..findings import Finding, Level
from ..monitor.text import Paint, plural

SCHEMA = "qcore.doctor/1"

_COLOUR = {"ok": "green", "warning": "yellow", "error": "red"}
# Columns before a fact: two, and the longest of the levels.
_INDENT = " " * 11


@dataclass(frozen=True, slots=True)
class Section:
    """The findings on one thing."""

    name: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An examination; nothing in it is secret."""

    project: str
    at: float  # seconds since the epoch
    sections: tuple[Section, ...]

    def count(self, level: Level) -> int:
        """Return how many findings have a level."""
        return sum(
            found.level == level
            for section in self.sections
            for found in section.findings
        )

    @property
    def healthy(self) -> bool:
        """Whether nothing is an error."""
        return not self.count("error")

    def as_dict(self) -> dict[str, Any]:
        """Return it in the types of JSON; the schema is ``qcore.doctor/1``."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "project": self.project,
            "at": self.at,
            "healthy": self.healthy,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "sections": [
                {
                    "name": section.name,
                    "findings": [asdict(found) for found in section.findings],
                }
                for section in self.sections
            ],
        }

    def lines(self, width: int, paint: Paint) -> list[str]:
        """Return it as lines of at most ``width`` columns, and at least 40."""
        width = max(width, 40)
        lines = [paint(f"qcore {__version__}, project {self.project}", "bold")]
        for section in self.sections:
            lines += ["", paint(section.name, "bold")]
            for found in section.findings:
                lines += _shown(found, width, paint)
        counts = [
            plural(self.count("error"), "error"),
            plural(self.count("warning"), "warning"),
        ]
        return [*lines, "", ", ".join(counts)]


def _shown(found: Finding, width: int, paint: Paint) -> list[str]:
    first, *more = _wrap(found.fact, width)
    level = f"{found.level:<7}"
    lines = [f"  {paint(level, _COLOUR[found.level])}  {first[len(_INDENT) :]}", *more]
    if found.advice:
        lines += _wrap(found.advice, width)
    return lines


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
    )
