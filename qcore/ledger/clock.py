"""Now, as the ledger means it: by the clock of its database, plus that of a test.

Every statement that compares or writes a moment uses ``now``. So the clocks of machines
need not agree, and a test can let a month pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..clock import Clock
from ..errors import ConfigError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Seconds since the epoch, as a double. Each is the same during a whole statement, so
#: that a database looks it up in an index; and moves on within a transaction.
_NOW = {
    "postgresql": "extract(epoch FROM statement_timestamp())::float8",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    # unlike UNIX_TIMESTAMP(NOW(6)), unambiguous where the clocks are put back
    "mysql": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6)",
}


def now(connection: BaseDatabaseWrapper) -> str:
    """Return SQL for the moment of a statement: seconds since the epoch.

    Raises:
        ConfigError: the ledger does not work on this kind of database.
    """
    sql = _NOW.get(connection.vendor)
    if sql is None:
        raise ConfigError(
            f"the ledger does not work on {connection.display_name}, the kind of the"
            f" database {connection.alias!r}; expected PostgreSQL, MariaDB, MySQL or"
            " SQLite. Set Q_CLUSTER['ledger'] to the alias of one."
        )
    return f"({sql} + {Clock.offset!r})" if Clock.offset else sql
