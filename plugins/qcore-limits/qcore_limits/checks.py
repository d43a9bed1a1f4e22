"""Checks: whether the plugin can do what tasks ask of it."""

from __future__ import annotations

from django.apps import apps
from django.core import checks

from qcore.runtime import current


def check() -> list[checks.CheckMessage]:
    """Return warnings about the app and its database."""
    if not apps.is_installed("qcore_limits"):
        return [
            checks.Warning(
                "qcore-limits is installed and 'qcore_limits' is not in INSTALLED_APPS:"
                " a task with the option 'unique' or 'limits' is refused.",
                hint="Add 'qcore_limits' to INSTALLED_APPS and run: python manage.py migrate",
                id="qcore_limits.W001",
            )
        ]
    if current.ledger is None:
        return [
            checks.Warning(
                "no database of this project can have the ledger of qcore: a task with"
                " the option 'unique' or 'limits' is refused.",
                hint="Set Q_CLUSTER['ledger'] to the alias of a PostgreSQL, MariaDB,"
                " MySQL or SQLite database.",
                id="qcore_limits.W002",
            )
        ]
    return []
