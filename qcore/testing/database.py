"""A database of the tests' own: an SQLite file, which other processes can open too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..current import current


def entry(path: Path) -> dict[str, Any]:
    """Return the entry of ``DATABASES`` for a file; its values are literals.

    A process waits for up to 20 seconds for another one that writes.
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }


@contextmanager
def connected(path: Path) -> Iterator[None]:
    """Connect the alias ``default`` of this thread to a file, and back again.

    What qcore has made from the other database is forgotten, before and after.
    """
    from django.db import connections
    from django.db.utils import load_backend

    filled = connections.configure_settings({"default": entry(path)})["default"]
    before = connections["default"]
    backend = load_backend(filled["ENGINE"])
    connections["default"] = backend.DatabaseWrapper(filled, "default")
    current.reset()
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = before
        current.reset()


def migrate(path: Path) -> None:
    """Make a file with every table and nothing in them."""
    from django.core.management import call_command

    with connected(path):
        call_command("migrate", verbosity=0)
