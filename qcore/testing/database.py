"""A database of the tests' own: an SQLite file, which other processes can open too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..runtime import current


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

    What qcore has made from the other database is forgotten, before and after, and so are
    the rows that Django remembers by alias: content types and sites have other ids there.
    """
    from django.db import connections
    from django.db.utils import load_backend

    filled = connections.configure_settings({"default": entry(path)})["default"]
    before = connections["default"]
    backend = load_backend(filled["ENGINE"])
    connections["default"] = backend.DatabaseWrapper(filled, "default")
    _forget()
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = before
        _forget()


def _forget() -> None:
    """Forget what this process remembers of the database behind an alias."""
    from django.apps import apps

    current.reset()
    for app, model in (("contenttypes", "ContentType"), ("sites", "Site")):
        if apps.is_installed(f"django.contrib.{app}"):
            apps.get_model(app, model).objects.clear_cache()


def migrate(path: Path) -> None:
    """Make a file with every table and nothing in them."""
    from django.core.management import call_command

    with connected(path):
        call_command("migrate", verbosity=0)
