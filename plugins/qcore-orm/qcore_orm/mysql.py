"""What MariaDB and MySQL are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from . import diagnosis
from .statements import MOST_ATTEMPTS, Claimed, Cursor, Statements

if TYPE_CHECKING:
    from qcore.conf import Conf
    from qcore.findings import Finding

#: The first releases with SKIP LOCKED.
OLDEST_MARIADB = (10, 6)
OLDEST_MYSQL = (8, 0, 1)
# https://mariadb.com/kb/en/mariadb-error-codes/
DEADLOCK, LOCK_TIMEOUT, CHANGED_SINCE_READ = 1213, 1205, 1020
#: "has gone away", "lost connection during query"; of PyMySQL, a wire that is closed;
#: an administrator, or a shutdown of the server, ended the session.
BROKEN = (2006, 2013, 0, 1053, 1317, 1927)
NO_SUCH_TABLE, NO_SUCH_COLUMN = 1146, 1054


class MySQLStatements(Statements):
    """A claim takes two statements in a transaction: UPDATE cannot return rows here.

    Under READ COMMITTED, which is Django's default, they lock the claimed rows and
    nothing else. Under REPEATABLE READ they also lock the gap before the next row;
    a deadlock that this may bring is tried again.
    """

    # Unlike UNIX_TIMESTAMP(NOW(6)), unambiguous where the clocks are put back.
    clock_sql = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6)"
    version = "VERSION()"
    # A fresh table has no statistics to choose it by.
    by_index = "FORCE INDEX (qcore_orm_claim)"

    def insert(
        self, cursor: Cursor, packages: Sequence[bytes], delay: float, rank: int
    ) -> list[int]:
        column, mark, more = self.rank_column(rank)
        row = f"(%s, %s, {self.now} + %s, 0, 0{mark})"
        values = [
            value
            for package in packages
            for value in (self.queue, package, delay, *more)
        ]
        cursor.execute(
            f"INSERT INTO {self.table}"
            f" ({self.key}, payload, visible, claimed, attempts{column})"
            f" VALUES {', '.join([row] * len(packages))}",
            values,
        )
        # The first id; those of one INSERT ... VALUES follow each other in every
        # innodb_autoinc_lock_mode, at the distance that a Galera cluster sets.
        first: int = cursor.lastrowid  # type: ignore[attr-defined]  # of both drivers
        if len(packages) == 1:
            return [first]
        cursor.execute("SELECT @@auto_increment_increment")
        step = cursor.fetchone()[0]
        return [first + step * place for place in range(len(packages))]

    def claim_rank(
        self, cursor: Cursor, rank: int, limit: int, lease: float
    ) -> list[Claimed]:
        with transaction.atomic(using=self.connection.alias):
            cursor.execute(
                f"SELECT id, payload, LEAST(GREATEST(attempts, 0), {MOST_ATTEMPTS}) + 1"
                f" FROM {self.table}"
                f" {self.by_index} WHERE {self.key} = %s AND priority_rank = %s"
                f" AND visible <= {self.now} ORDER BY visible, id LIMIT %s"
                " FOR UPDATE SKIP LOCKED",
                [self.queue, rank, limit],
            )
            found = list(cursor.fetchall())
            if found:
                condition, ids = self.among([row[0] for row in found])
                cursor.execute(
                    f"UPDATE {self.table} SET visible = {self.now} + %s, claimed = 1,"
                    f" attempts = LEAST(GREATEST(attempts, 0), {MOST_ATTEMPTS}) + 1"
                    f" WHERE {condition}",
                    [lease, *ids],
                )
        return found

    def put_stat(self, cursor: Cursor, key: str, value: bytes, ttl: float) -> None:
        cursor.execute(
            f"INSERT INTO {self.stats} ({self.key}, value, expires)"
            f" VALUES (%s, %s, {self.now} + %s) ON DUPLICATE KEY UPDATE"
            " value = VALUES(value), expires = VALUES(expires)",
            [key, value, ttl],
        )

    def diagnose(self, cursor: Cursor, conf: Conf) -> list[Finding]:
        cursor.execute("SELECT @@max_connections, @@max_allowed_packet")
        limit, largest = cursor.fetchone()
        cursor.execute("SHOW STATUS LIKE 'Threads_connected'")
        used = int(cursor.fetchone()[1])
        return [
            *diagnosis.connections(limit, used, conf.workers),
            *diagnosis.packets(largest, conf.max_payload),
        ]

    def refusal(self) -> str | None:
        connection: Any = self.connection
        version = connection.mysql_version
        name, oldest = (
            ("MariaDB", OLDEST_MARIADB)
            if connection.mysql_is_mariadb
            else ("MySQL", OLDEST_MYSQL)
        )
        if version >= oldest:
            return None
        return (
            f"{name} {_dotted(version)}; the queue needs {_dotted(oldest)} or newer"
            " (for SKIP LOCKED)"
        )

    def is_busy(self, error: BaseException) -> bool:
        return _code(error) in (DEADLOCK, LOCK_TIMEOUT, CHANGED_SINCE_READ)

    def is_broken(self, error: BaseException) -> bool:
        return _code(error) in BROKEN

    def is_unmigrated(self, error: BaseException) -> bool:
        return _code(error) in (NO_SUCH_TABLE, NO_SUCH_COLUMN)


def _code(error: BaseException) -> object:
    """Return the number of an error; mysqlclient and PyMySQL put it first."""
    return error.args[0] if error.args else None


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
