"""What a database is asked, in the words that all of them share.

``postgresql``, ``sqlite`` and ``mysql`` complete this class with what they say
differently. Statements run on Django's connection, and so join the transaction that
is open there; going through the ORM would take several times as long.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from qcore.brokers.tools import placeholders
from qcore.clock import Clock

from .waiting import Look, Polling, Waiter

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from qcore.conf import Conf
    from qcore.findings import Finding

#: The highest count of attempts that a claim goes on from, and the lowest is 0: the column
#: has room for one more. Whoever writes into the table by hand may have written any.
MOST_ATTEMPTS = 2_147_483_646

#: id, package and attempt of a delivery; what others wrote by hand may be of any type.
Claimed = tuple[int, object, int]

#: A rank that has packages, and the seconds until the first of them is visible.
Rank = tuple[int, float]


class Cursor(Protocol):
    """What statements use of a cursor, Django's or the driver's."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, query: str, params: Sequence[object] = (), /) -> object: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Statements(ABC):
    """The statements of one queue on one connection.

    Args:
        connection: Django's wrapper; nothing is sent before the first statement.
        queue: name of the queue, the value of the column ``key``.
    """

    #: SQL for the database's clock: seconds since the epoch, as a double.
    clock_sql: ClassVar[str]
    #: Seconds between two readings of that clock that differ.
    tick: ClassVar[float] = 0.000_001
    #: SQL for the version of the server.
    version: ClassVar[str]
    #: SQL that names the claim's index, where a database would not choose it by itself.
    by_index: ClassVar[str] = ""

    def __init__(self, connection: BaseDatabaseWrapper, queue: str) -> None:
        self.connection = connection
        self.queue = queue
        from .models import OrmQ, Stat  # once Django has loaded its apps

        quote = connection.ops.quote_name
        # a project may give its tables a prefix
        self.table = quote(OrmQ._meta.db_table)  # noqa: SLF001 - Django's public name
        self.stats = quote(Stat._meta.db_table)  # noqa: SLF001
        self.key = quote("key")  # a reserved word of MySQL

    @property
    def now(self) -> str:
        """SQL for the database's clock, ahead by as much as the clock of a test is."""
        if not Clock.offset:
            return self.clock_sql
        return f"({self.clock_sql} + {Clock.offset!r})"

    # -- what databases say differently ----------------------------------------
    @abstractmethod
    def insert(
        self, cursor: Cursor, packages: Sequence[bytes], delay: float, rank: int
    ) -> list[int]:
        """Store packages and return their ids, in the same order.

        Args:
            cursor: a cursor.
            packages: one or more.
            delay: seconds before they are visible.
            rank: their priority with its sign turned.
        """

    @abstractmethod
    def claim_rank(
        self, cursor: Cursor, rank: int, limit: int, lease: float
    ) -> list[Claimed]:
        """Hide up to ``limit`` visible packages of one rank for ``lease`` seconds."""

    @abstractmethod
    def put_stat(self, cursor: Cursor, key: str, value: bytes, ttl: float) -> None:
        """Insert or replace one snapshot."""

    @abstractmethod
    def is_busy(self, error: BaseException) -> bool:
        """Whether a driver's error is a lock or a deadlock, so that trying again helps."""

    @abstractmethod
    def is_unmigrated(self, error: BaseException) -> bool:
        """Whether a driver's error is a missing table or column."""

    def is_broken(self, error: BaseException) -> bool:
        """Whether a driver's error is the end of the connection, not a word of the server."""
        return False

    def refusal(self) -> str | None:
        """Say which version is needed where the server's is too old; None: it is not.

        The answer may take a round trip, on a connection that is open.
        """
        return None

    def cursor(self) -> AbstractContextManager[Cursor]:
        """Return a cursor in the transaction of the connection, if one is open."""
        return cast("AbstractContextManager[Cursor]", self.connection.cursor())

    def waiter(self, look: Look, poll: float) -> Waiter:
        """Return what an idle consumer waits with."""
        return Polling(look, poll)

    def telling(self) -> tuple[str, list[object]]:
        """Return what, added to an UPDATE, wakes consumers, with its parameters."""
        return "", []

    def among(self, ids: Sequence[int]) -> tuple[str, list[object]]:
        """Return the condition that ``id`` is one of several, with its parameters."""
        return f"id IN ({placeholders(ids)})", list(ids)

    def rank_column(self, rank: int) -> tuple[str, str, list[object]]:
        """Return column, value and parameter of a rank, for an INSERT.

        A row of the usual rank says nothing of it. So it can be written before the
        migration that brings the column.
        """
        return (", priority_rank", ", %s", [rank]) if rank else ("", "", [])

    # -- what all of them understand -------------------------------------------
    def claim(self, cursor: Cursor, limit: int, lease: float) -> list[Claimed]:
        """Hide up to ``limit`` visible packages for ``lease`` seconds.

        It takes one look for each rank that there is, and one claim for each that has
        something visible. One statement over all ranks would have to pass what is delayed
        in the first of them, however much that is.
        """
        due = [rank for rank, seconds in self.ranks(cursor) if seconds <= 0]
        return self.claim_ranks(cursor, due, limit, lease)

    def claim_ranks(
        self, cursor: Cursor, ranks: Sequence[int], limit: int, lease: float
    ) -> list[Claimed]:
        """Hide up to ``limit`` visible packages of several ranks, in their order."""
        found: list[Claimed] = []
        for rank in ranks:
            left = limit - len(found)
            if left <= 0:
                break
            try:
                found += self.claim_rank(cursor, rank, left, lease)
            except Exception:
                if not found:
                    raise
                break  # what is claimed is handed out; the next call meets the error
        return found

    def ranks(self, cursor: Cursor) -> list[Rank]:
        """Return each rank with the seconds until a package of it is visible.

        Zero or less: one has been for so long. Nothing is locked. ORDER BY and LIMIT read
        the head of a rank in the claim's index; MIN would make MariaDB read all of the
        queue. A statement tells the next rank, too, so that there is one for each rank.
        """
        found: list[Rank] = []
        which = ""
        values: list[object] = [self.queue]
        while True:
            cursor.execute(
                f"SELECT priority_rank, visible - {self.now},"
                f" (SELECT other.priority_rank FROM {self.table} AS other {self.by_index}"
                f" WHERE other.{self.key} = %s"
                " AND other.priority_rank > mine.priority_rank"
                " ORDER BY other.priority_rank, other.visible, other.id LIMIT 1)"
                f" FROM {self.table} AS mine {self.by_index}"
                f" WHERE {self.key} = %s{which}"
                " ORDER BY priority_rank, visible, id LIMIT 1",
                [self.queue, *values],
            )
            row = cursor.fetchone()
            if row is None:
                return found
            found.append((row[0], float(row[1])))
            if row[2] is None:
                return found
            which, values = " AND priority_rank >= %s", [self.queue, row[2]]

    def ahead(self, cursor: Cursor) -> float:
        """Return the seconds until a package is visible, without locking anything.

        Zero or less: one has been for so long; infinite: there is none at all.
        """
        return min((seconds for _, seconds in self.ranks(cursor)), default=math.inf)

    def delayed(self, cursor: Cursor) -> list[tuple[float, bytes]]:
        """Return what is not visible yet and not claimed: seconds, and the package."""
        cursor.execute(
            f"SELECT visible - {self.now}, payload FROM {self.table}"
            f" WHERE {self.key} = %s AND visible > {self.now} AND claimed = %s"
            " ORDER BY visible, id",
            [self.queue, False],
        )
        return [(float(ahead), bytes(package)) for ahead, package in cursor.fetchall()]

    def delete(self, cursor: Cursor, ids: Sequence[int]) -> int:
        """Remove packages and return how many there were."""
        condition, values = self.among(ids)
        cursor.execute(f"DELETE FROM {self.table} WHERE {condition}", values)
        return cursor.rowcount

    def extend(
        self, cursor: Cursor, ids: Sequence[int], attempt: int, lease: float
    ) -> set[int]:
        """Prolong leases that are in force; return the ids of those that are not."""
        condition, values = self._held(ids, attempt)
        cursor.execute(
            f"UPDATE {self.table} SET visible = {self.now} + %s WHERE {condition}",
            [lease, *values],
        )
        if cursor.rowcount == len(ids):
            return set()
        cursor.execute(f"SELECT id FROM {self.table} WHERE {condition}", values)
        return set(ids) - {id for (id,) in cursor.fetchall()}

    def release(
        self, cursor: Cursor, ids: Sequence[int], attempt: int, delay: float
    ) -> None:
        """Give back packages whose lease is in force."""
        condition, values = self._held(ids, attempt)
        telling, told = self.telling()
        cursor.execute(
            f"UPDATE {self.table} SET visible = {self.now} + %s, claimed = %s"
            f" WHERE {condition}{telling}",
            [delay, False, *values, *told],
        )

    def _held(self, ids: Sequence[int], attempt: int) -> tuple[str, list[object]]:
        condition, values = self.among(ids)
        held = (
            f"{condition} AND attempts = %s AND claimed = %s AND visible > {self.now}"
        )
        return held, [*values, attempt, True]

    def count(self, cursor: Cursor) -> tuple[int, int]:
        """Return how many packages there are, and how many of them are claimed.

        Both are answered from the index; only rows that are hidden are looked at.
        """
        cursor.execute(
            f"SELECT (SELECT COUNT(*) FROM {self.table} WHERE {self.key} = %s),"
            f" (SELECT COUNT(*) FROM {self.table}"
            f" WHERE {self.key} = %s AND visible > {self.now} AND claimed = %s)",
            [self.queue, self.queue, True],
        )
        total, claimed = cursor.fetchone()
        return total, claimed

    def oldest_waiting(self, cursor: Cursor) -> float | None:
        """Return the seconds since the first visible package became visible."""
        seconds = self.ahead(cursor)
        return -seconds if seconds <= 0 else None

    def clock(self, cursor: Cursor) -> float:
        """Return the database's clock in seconds since the epoch."""
        cursor.execute(f"SELECT {self.now}")
        return float(cursor.fetchone()[0])

    def diagnose(self, cursor: Cursor, conf: Conf) -> list[Finding]:
        """Return what is right and wrong with the database as the place of a queue."""
        return []

    def purge(self, cursor: Cursor) -> None:
        """Remove every package of the queue."""
        cursor.execute(f"DELETE FROM {self.table} WHERE {self.key} = %s", [self.queue])

    def server_version(self, cursor: Cursor) -> str:
        """Return the version of the server as it prints it."""
        cursor.execute(f"SELECT {self.version}")
        return str(cursor.fetchone()[0])

    def describe(self, cursor: Cursor) -> str:
        """Return name and version of the server: ``PostgreSQL 17.2``."""
        return f"{self.connection.display_name} {self.server_version(cursor)}"

    def stats_with(self, cursor: Cursor, prefix: str) -> list[bytes]:
        """Return the snapshots that have not expired, by the beginning of their key."""
        cursor.execute(
            f"SELECT value FROM {self.stats} WHERE SUBSTR({self.key}, 1, %s) = %s"
            f" AND expires > {self.now} ORDER BY {self.key}",
            [len(prefix), prefix],
        )
        return [bytes(value) for (value,) in cursor.fetchall()]

    def expire_stats(self, cursor: Cursor) -> None:
        """Remove the snapshots of clusters that are gone."""
        cursor.execute(f"DELETE FROM {self.stats} WHERE expires <= {self.now}")
