"""The text of an error for a column: every database takes it, and it has no secrets."""

from __future__ import annotations

from ..masking import mask_url

#: Characters of an error that are kept.
LONGEST = 2000


def error_text(error: BaseException) -> str:
    """Return an error as text that every database takes, without secrets."""
    return column_text(f"{type(error).__name__}: {error}")


def column_text(text: str) -> str:
    """Return a text as every database takes it, without secrets."""
    text = mask_url(text)[:LONGEST]
    plain = text.encode(errors="backslashreplace").decode()
    return plain.replace("\0", "\\x00")
