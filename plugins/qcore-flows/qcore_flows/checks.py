"""Checks: whether the plugin can do what tasks ask of it."""

from __future__ import annotations

from django.apps import apps
from django.core import checks

from qcore.runtime import current


def check() -> list[checks.CheckMessage]:
    """Return warnings about the app and its database."""
    if not apps.is_installed("qcore_flows"):
        return [
            checks.Warning(
                "qcore-flows is installed and 'qcore_flows' is not in INSTALLED_APPS:"
                " batches, graphs and durable steps are refused.",
                hint="Add 'qcore_flows' to INSTALLED_APPS and run: python manage.py migrate",
                id="qcore_flows.W001",
            )
        ]
    if current.ledger is None:
        return [
            checks.Warning(
                "no database of this project can have the ledger of qcore: batches,"
                " graphs and durable steps are refused.",
                hint="Set Q_CLUSTER['ledger'] to the alias of a PostgreSQL, MariaDB,"
                " MySQL or SQLite database.",
                id="qcore_flows.W002",
            )
        ]
    return []
