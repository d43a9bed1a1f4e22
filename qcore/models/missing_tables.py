"""Tables that are missing or old: how databases say so, and what to type."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps

#: How databases say that a table or a column is not there.
_MISSING = (
    *("no such table", "no such column", "has no column"),  # SQLite
    "does not exist",  # PostgreSQL
    *("doesn't exist", "Unknown column"),  # MariaDB, MySQL
)


def is_missing(error: BaseException) -> bool:
    """Whether a database says that a table or a column is not there."""
    return any(word in text for text in _texts(error) for word in _MISSING)


def migrate_advice(error: BaseException, database: str, label: str = "qcore") -> str:
    """Return what to type where the tables of an app are missing; ``""`` where not.

    Args:
        error: of a database, or one that has such an error as its cause.
        database: its alias.
        label: of the app.
    """
    told = [text for text in _texts(error) if any(word in text for word in _MISSING)]
    tables = [
        model._meta.db_table  # noqa: SLF001 - Django's public name for it
        for model in apps.get_app_config(label).get_models()
    ]
    # MariaDB names no table where a column is missing
    if not any(name in text for text in told for name in (*tables, "Unknown column")):
        return ""
    return (
        f"The tables of {label} are missing or old in the database {database!r}."
        f" Run: python manage.py migrate --database={database}"
    )


def _texts(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__
