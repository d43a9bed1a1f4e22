"""The ranges of numbers that IronMQ takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BadRequest(Exception):
    """A field is wrong: status 400."""


def read_limit(
    body: Mapping[str, Any], name: str, default: int, low: int, high: int
) -> int:
    """Return a whole number of a request, or raise BadRequest."""
    value = body.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise BadRequest(f"{name} must be a whole number from {low} to {high}")
    return value
