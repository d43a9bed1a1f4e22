"""Words: those of the options, and which of them somebody may have meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from qcore.errors import did_you_mean

T = TypeVar("T")


def made(kind: type[T], words: Mapping[str, Any], expected: str) -> T:
    """Return a dataclass that is made of a mapping.

    Args:
        kind: the class.
        words: its arguments by their names, as a schedule has stored them.
        expected: what to say where some of them are missing.

    Raises:
        ValueError: a word that it does not know, or one that is missing; or as it raises.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for word in words:
        if word not in known:
            near = did_you_mean(str(word), known)
            raise ValueError(
                f"{expected}; {word!r} is no word of {kind.__name__}{near}"
            )
    try:
        return kind(**words)
    except TypeError:
        raise ValueError(expected) from None


def near_word(value: object, known: list[str]) -> str:
    """Return `` - did you mean 'x'?`` for a value that is nearly one of some words."""
    return did_you_mean(value, known) if isinstance(value, str) else ""
