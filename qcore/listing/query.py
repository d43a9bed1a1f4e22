"""Queries: the words of a search, read once and checked where they are typed."""

from __future__ import annotations

import datetime as dt
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import timezone

from ..errors import did_you_mean
from ..pages import BadQuery
from ..tasks.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .rows import Row

#: Characters and words of a search: what a person types.
MAX_LENGTH, MAX_WORDS = 500, 20
EXAMPLE = "func:shop.* state:dead since:1h"

_PATTERNS = ("func", "name", "group", "queue")
_KEYS = (*_PATTERNS, "id", "state", "since", "until")
_STATES = {str(state) for state in State}
_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d{1,6})(s|min|m|h|d|w)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text in which one star stands for anything."""

    text: str

    @property
    def parts(self) -> tuple[str, str] | None:
        """What stands before and after the star; None where there is no star."""
        before, star, after = self.text.partition("*")
        return (before, after) if star else None

    def fits(self, value: str | None) -> bool:
        """Return whether a text is meant."""
        value = value or ""
        if self.parts is None:
            return value == self.text
        before, after = self.parts
        room = len(value) >= len(before) + len(after)
        return room and value.startswith(before) and value.endswith(after)


@dataclass(frozen=True, slots=True)
class Query:
    """What a search asks for; an empty one asks for every task."""

    text: str = ""
    func: Pattern | None = None
    name: Pattern | None = None
    group: Pattern | None = None
    queue: Pattern | None = None
    id: str | None = None
    states: frozenset[str] = frozenset()
    since: float | None = None
    """Seconds since the epoch: what has happened before is left out."""
    until: float | None = None
    words: tuple[str, ...] = ()
    """Each must be in the name, the function, the group or the error."""

    def fits(self, row: Row) -> bool:
        """Return whether a task is asked for."""
        for key in _PATTERNS:
            pattern: Pattern | None = getattr(self, key)
            if pattern is not None and not pattern.fits(getattr(row, key)):
                return False
        if self.id is not None and row.id != self.id:
            return False
        if self.states and row.state not in self.states:
            return False
        if self.since is not None and (row.at is None or row.at < self.since):
            return False
        if self.until is not None and (row.at is None or row.at > self.until):
            return False
        return all(row.has(word) for word in self.words)

    def may_be(self, states: Iterable[str]) -> bool:
        """Return whether tasks in one of these states are asked for."""
        return not self.states or not self.states.isdisjoint(states)


def read(text: str, **given: str | None) -> Query:
    """Return what a search asks for.

    Args:
        text: the words of the search.
        given: values of keys that stand beside the text, and may have blanks in them.

    Raises:
        BadQuery: a word cannot be read.
    """
    words = text.split()
    if len(text) > MAX_LENGTH or len(words) > MAX_WORDS:
        raise BadQuery(
            f"The search has {len(text):,} characters and {len(words):,} words; the limits"
            f" are {MAX_LENGTH} and {MAX_WORDS}. Shorten it."
        )
    said = {key: value for key, value in given.items() if value is not None}
    if any("\0" in one for one in (text, *said.values())):
        raise BadQuery("The search has a character that no text of a task has (NUL).")
    for key in (key for key, value in said.items() if not value):
        raise BadQuery(f"{key} is an empty text. Example: {EXAMPLE}")
    found = {_name(key): _value(key, value) for key, value in said.items()}
    plain: list[str] = []
    for word in words:
        key, colon, value = word.partition(":")
        if not colon:
            plain.append(word)
            continue
        if key not in _KEYS:
            raise BadQuery(
                f"The search cannot be read: {key!r} is not a search key"
                f"{did_you_mean(key, _KEYS)} Expected {', '.join(_KEYS)}, as in {EXAMPLE}."
            )
        if not value or _name(key) in found:
            raise BadQuery(
                f"The search cannot be read: {key}: stands"
                f" {'twice' if value else 'without a value'}. Example: {EXAMPLE}"
            )
        found[_name(key)] = _value(key, value)
    return Query(text=" ".join(words), words=tuple(plain), **found)  # type: ignore[arg-type]


def _name(key: str) -> str:
    return "states" if key == "state" else key


def _value(key: str, value: str) -> object:
    if key in _PATTERNS:
        if value.count("*") > 1:
            raise BadQuery(f"{key}:{value} has several '*'. Expected one at most.")
        return Pattern(value)
    if key == "state":
        return _states(value)
    if key in {"since", "until"}:
        return _moment(key, value)
    return value


def _states(value: str) -> frozenset[str]:
    states = frozenset(value.split(","))
    for state in sorted(states - _STATES):
        raise BadQuery(
            f"state:{state} is not a state of a task{did_you_mean(state, _STATES)}"
            f" Expected {', '.join(sorted(_STATES))}; separate several states with commas."
        )
    return states


def _moment(key: str, value: str) -> float:
    if match := _SPAN.fullmatch(value):
        return time.time() - int(match[1]) * _UNITS[match[2]]
    try:
        given = dt.datetime.fromisoformat(value)
        # a date, or a time on the wall of the project
        return (given if given.tzinfo else timezone.make_aware(given)).timestamp()
    except (ValueError, OverflowError):
        raise BadQuery(
            f"{key}:{value} is not a time. Expected a number with s, min, h, d or w, such"
            f" as {key}:1h, one hour ago; or a date or a moment, such as"
            f" {key}:2026-01-31 or {key}:2026-01-31T08:00."
        ) from None
