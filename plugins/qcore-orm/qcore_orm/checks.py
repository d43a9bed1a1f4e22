"""Advice about ``orm`` and the database that it names, for ``manage.py check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

from qcore.errors import ConfigError

from .session import Session

if TYPE_CHECKING:
    from qcore.conf import Conf

#: Ends the hints about SQLite.
README = "The README of qcore-orm has all three."


def check(conf: Conf) -> list[CheckMessage]:
    """Return what is wrong, or could be better; nothing is connected for it."""
    if not conf.selects("orm"):
        return []
    alias = str(conf.options["orm"])
    if not apps.is_installed("qcore_orm"):
        return [
            Error(
                "Q_CLUSTER has 'orm', but its tables are not installed.",
                hint="Add 'qcore_orm' to INSTALLED_APPS and run: python manage.py"
                f" migrate --database={alias}",
                id="qcore_orm.E001",
            )
        ]
    try:
        Session(alias, conf.queue)
    except ConfigError as error:
        return [Error(str(error), id="qcore_orm.E002")]
    connection: Any = connections[alias]
    if connection.vendor == "sqlite" and not connection.is_in_memory_db():
        return list(_check_sqlite(connection.settings_dict.get("OPTIONS") or {}))
    return []


def _check_sqlite(options: dict[str, Any]) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        found.append(
            Warning(
                "SQLite: a transaction that reads before it writes fails with 'database"
                " is locked' when a cluster writes in between.",
                hint=f"Set 'transaction_mode': 'IMMEDIATE'. {README}",
                id="qcore_orm.W001",
            )
        )
    if "journal_mode" not in str(options.get("init_command", "")).lower():
        found.append(
            Warning(
                "SQLite: unless the file is in WAL mode, those who read and those who"
                " write wait for each other.",
                hint=f"Set 'init_command': 'PRAGMA journal_mode=WAL;'. {README}",
                id="qcore_orm.W002",
            )
        )
    if float(options.get("timeout", 5)) < 20:
        found.append(
            Warning(
                "SQLite: 'database is locked' is raised after 5 seconds.",
                hint=f"Set 'timeout': 20. {README}",
                id="qcore_orm.W003",
            )
        )
    return found
