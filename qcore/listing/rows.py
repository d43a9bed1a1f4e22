"""Rows: what the list shows of a task, whichever place it is found in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One task."""

    id: str
    state: str
    func: str | None
    name: str | None = None
    group: str | None = None
    queue: str | None = None
    at: float | None = None
    """When that state began, or will end for a scheduled task; seconds since the epoch."""
    event: str = ""
    """What happened at ``at``: "ended", "began", "sent" or "due"."""
    seconds: float | None = None
    """For which it ran, or has been running."""
    attempts: int | None = None
    error: str | None = None
    """Its first line, without secrets."""
    progress: str | None = None
    """How far a running task is, for people: ``"40%, 2 of 5: rows"``."""

    def has(self, word: str) -> bool:
        """Return whether a word is in one of its texts."""
        word = word.lower()
        texts = (self.id, self.name, self.func, self.group, self.error)
        return any(word in text.lower() for text in texts if text)

    def as_dict(self) -> dict[str, Any]:
        """Return it in the types of JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of one place, and where to go on in it; None: there are no more."""

    rows: list[Row]
    further: str | None = None
