"""Where the ledger is: its database, and whether its tables are there."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import connections, router
from django.utils.connection import ConnectionDoesNotExist

from ..errors import ConfigError, did_you_mean, sentence
from ..models import OutboxRow, Task, Ticket
from ..models.tables import tables_of
from ..runtime import current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..conf import Conf

logger = logging.getLogger("qcore.outbox")

#: Seconds until tables that were not there are looked for again.
_AGAIN = 30.0

_TABLES = frozenset(
    model._meta.db_table  # noqa: SLF001 - Django's public name of it
    for model in (OutboxRow, Ticket)
)

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
        told = sentence(
            f"Q_CLUSTER['ledger'] is {alias!r}, which is no alias in DATABASES"
            f"{did_you_mean(alias, connections)}"
        )
        raise ConfigError(
            f"{told} DATABASES has: {', '.join(sorted(connections))}."
        ) from None
    return alias


def is_ready(
    alias: str,
    tables: frozenset[str] | None = None,
    loss: str = "tasks are sent without the outbox",
    whose: str = "the ledger",
) -> bool:
    """Return whether tables of the ledger are there; looked up once where they are.

    A statement on a missing table would break the transaction of the caller.

    Args:
        alias: of the database.
        tables: their names; None: those of the outbox.
        loss: what their absence means, for the log.
        whose: tables these are, for the log.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    if not apps.is_installed("qcore"):
        return False
    wanted = _TABLES if tables is None else tables
    connection = connections[alias]
    names = ("NAME", "HOST", "PORT", "USER")
    place = (str(connection.settings_dict.get(name)) for name in names)
    key = (alias, *place, *sorted(wanted))
    seen = _looked.get(key, 0.0)
    if seen > time.monotonic():
        return seen == float("inf")
    found = set(connection.introspection.table_names()) >= wanted
    if not found and key not in _looked:
        logger.warning(
            "tables of %s are missing in the database %r, so %s. Run: python manage.py"
            " migrate --database=%s",
            whose, alias, loss, alias,
        )  # fmt: skip
    _looked[key] = float("inf") if found else time.monotonic() + _AGAIN
    return found


def lacking(alias: str, plugins: Iterable[str]) -> str | None:
    """Return which plugins lack tables here, and what to type; None: none does.

    Only a plugin that is an app as a whole is asked for. A part of an app of the project
    has its tables where that project likes.

    Args:
        alias: of the database of the ledger.
        plugins: the names of their entry points.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    for plugin in plugins:
        app = current.registry.app_of(plugin)
        if app is None or not (wanted := tables_of(app.label, alias)):
            continue
        loss = f"tasks that need the plugin {plugin!r} are refused, or wait"
        if not is_ready(alias, wanted, loss, app.label):
            return (
                f"the database {alias!r} lacks tables of {app.label}. Run: python manage.py"
                f" migrate {app.label} --database={alias}"
            )
    return None


def forget() -> None:
    """Look for the tables anew."""
    _looked.clear()
