"""Outages: a service that goes away and comes back, in tests of one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

#: Returns a context in which the service is away; it is back afterwards.
Outage = Callable[[], AbstractContextManager[None]]


@contextmanager
def moved_away(folder: Path) -> Iterator[None]:
    """Take a folder away, as where a disk is unmounted, and put it back at the end."""
    away = folder.with_name(f"{folder.name}-away")
    folder.rename(away)
    try:
        yield
    finally:
        away.rename(folder)
