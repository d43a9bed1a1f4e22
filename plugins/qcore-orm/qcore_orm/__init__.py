"""Django ORM broker for qcore: SQLite, PostgreSQL, MariaDB and MySQL.

The package is a plugin (the hooks below) and a Django app (``apps.py``, models,
migrations, admin). Importing it imports neither Django nor a database driver::

    broker       OrmBroker: the contract, in terms of statements and waiting
    statements   what every database is asked; postgresql, sqlite and mysql how
    waiting      pauses of an idle consumer; notify (PostgreSQL) wakes at once
    failures     which error of a database means what
    models       the tables; admin shows the first of them as Queued tasks
    checks       advice about the settings
    diagnosis    advice about the server, for ``qcore doctor``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcore import Provider, Setting, hookimpl

if TYPE_CHECKING:
    from qcore import Conf


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Describe the one broker of this plugin; ``Q_CLUSTER['orm']`` selects it."""
    return [Provider("orm", "qcore_orm.broker:OrmBroker", claims=("orm",))]


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the broker reads of Q_CLUSTER."""
    return [
        Setting(
            "orm",
            str | None,
            "Alias of the Django database that holds the queue.",
            minimum=1,
            expects="the alias of a database or None",
            group="broker",
        ),
    ]


@hookimpl
def qcore_checks(conf: Conf) -> list[Any]:
    """Return Django check messages about ``orm`` and the database it names."""
    from .checks import check

    return check(conf)
