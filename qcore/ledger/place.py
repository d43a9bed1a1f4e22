"""Where the ledger is: its database, and whether its tables are there."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import connections, router
from django.utils.connection import ConnectionDoesNotExist

from ..errors import ConfigError, did_you_mean
from ..models import OutboxRow, Task, Ticket

if TYPE_CHECKING:
    from ..conf import Conf

logger = logging.getLogger("qcore.outbox")

#: Seconds until tables that were not there are looked for again.
_AGAIN = 30.0

_TABLES = {OutboxRow._meta.db_table, Ticket._meta.db_table}  # noqa: SLF001 - public

#: When the tables of a database were found missing, on this machine's monotonic clock;
#: infinite where they were found. By what the database is, and not by its alias.
_looked: dict[tuple[str, ...], float] = {}


def database_of(conf: Conf) -> str:
    """Return the alias of the database that has the ledger.

    Raises:
        ConfigError: DATABASES has no such alias.
    """
    alias = conf.ledger
    if alias is None:
        return router.db_for_write(Task)
    try:
        connections[alias]
    except ConnectionDoesNotExist:
        raise ConfigError(
            f"Q_CLUSTER['ledger'] is {alias!r}, which is no alias in DATABASES"
            f"{did_you_mean(alias, connections)}. DATABASES has:"
            f" {', '.join(sorted(connections))}."
        ) from None
    return alias


def is_ready(alias: str) -> bool:
    """Return whether the tables of the ledger are there; looked up once where they are.

    A statement on a missing table would break the transaction of the caller.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    if not apps.is_installed("qcore"):
        return False
    connection = connections[alias]
    names = ("NAME", "HOST", "PORT", "USER")
    key = (alias, *(str(connection.settings_dict.get(name)) for name in names))
    seen = _looked.get(key, 0.0)
    if seen > time.monotonic():
        return seen == float("inf")
    found = set(connection.introspection.table_names()) >= _TABLES
    if not found and key not in _looked:
        logger.warning(
            "the tables of the outbox are missing in the database %r, so tasks are sent"
            " without it. Run: python manage.py migrate --database=%s",
            alias, alias,
        )  # fmt: skip
    _looked[key] = float("inf") if found else time.monotonic() + _AGAIN
    return found


def forget() -> None:
    """Look for the tables anew."""
    _looked.clear()
