"""Interrupts: where the clock of a test ends a task as a crash would.

A plugin that keeps what a task has done calls ``reached`` before and after it keeps it. In
a cluster this does nothing: no place is named there.
"""

from __future__ import annotations

from typing import Literal

When = Literal["before", "unsaved", "after"]

#: Places where the next task that comes by is interrupted, each once.
_PLACES: set[tuple[str, When]] = set()


class Interrupted(BaseException):
    """Raised in a task where a test has asked for it: the task ends as if it had crashed."""


def interrupt_at(place: str, when: When) -> None:
    """Interrupt the next task that comes by a place, once."""
    _PLACES.add((place, when))


def reached(place: str, when: When) -> None:
    """Say that a task has come to a place.

    Args:
        place: such as the name of a step.
        when: "before" it is done, "unsaved" where it is done and that is not kept yet,
            "after" that is kept.

    Raises:
        Interrupted: a test has asked for it.
    """
    if _PLACES and (place, when) in _PLACES:
        _PLACES.discard((place, when))
        raise Interrupted(f"the test has interrupted the task at {place!r} ({when})")


def forget() -> None:
    """Forget the places of a test that has ended."""
    _PLACES.clear()
