"""Narrow: rows of a table that a pattern fits, asked of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from .query import Pattern

R = TypeVar("R", bound="QuerySet[Any]")


def narrow(rows: R, column: str, pattern: Pattern | None) -> R:
    """Return the rows in which a column fits a pattern; None: all of them."""
    if pattern is None:
        return rows
    if pattern.parts is None:
        return rows.filter(**{column: pattern.text})
    before, after = pattern.parts
    if before:
        rows = rows.filter(**{f"{column}__startswith": before})
    return rows.filter(**{f"{column}__endswith": after}) if after else rows
