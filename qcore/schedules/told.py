"""Errors as they are told in a column: text that every database takes, without secrets."""

from __future__ import annotations

from ..masking import mask_url

#: Characters of an error that are kept.
LONGEST = 2000


def told(error: BaseException) -> str:
    """Return an error as text that every database takes, without secrets."""
    text = mask_url(f"{type(error).__name__}: {error}")[:LONGEST]
    plain = text.encode(errors="backslashreplace").decode()
    return plain.replace("\0", "\\x00")
