"""Findings: what an examination says of one thing, and what to do about it.

Brokers return them from ``diagnose``; ``qcore doctor`` adds its own and shows all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact; where it is not "ok", with what to type.

    Without secrets: it is printed, and goes into bug reports.
    """

    level: Level
    """"error": tasks do not run, or are lost; "warning": they may be, some day."""
    fact: str
    """One line that names the thing and gives the values."""
    advice: str = ""
    """What to type or set; empty only where the level is "ok"."""


def ok(fact: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding("ok", fact)


def warning(fact: str, advice: str) -> Finding:
    """Return a finding that asks for something before it hurts."""
    return Finding("warning", fact, advice)


def error(fact: str, advice: str) -> Finding:
    """Return a finding that asks for something now."""
    return Finding("error", fact, advice)
