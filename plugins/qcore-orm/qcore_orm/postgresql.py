"""What PostgreSQL is asked, through psycopg 3 or psycopg2."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from . import diagnosis
from .notify import Listener
from .statements import MOST_ATTEMPTS, Claimed, Cursor, Rank, Statements
from .waiting import Look, Polling, Waiter

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from qcore.conf import Conf
    from qcore.findings import Finding

# https://www.postgresql.org/docs/current/errcodes-appendix.html
DEADLOCK, SERIALIZATION, LOCK_TIMEOUT = "40P01", "40001", "55P03"
#: Sessions that were ended: by an administrator, by a crash.
ENDED = ("57P01", "57P02")
UNDEFINED_TABLE, UNDEFINED_COLUMN = "42P01", "42703"

#: Seconds for which a claim trusts where the queue began, and the share of all time that
#: looking for its beginning may take.
HEAD_SECONDS, HEAD_SHARE = 1.0, 0.05
#: Seconds that a transaction may take to commit a package that is found at once, even while
#: younger ones are claimed; a later one is found within HEAD_SECONDS, or when no younger one
#: is left.
LATE = 5.0
#: Seconds for which a rank without packages is looked at beside the others.
EMPTY_SECONDS = 120.0
#: Numbers outside of what ranks can be: the column has 16 bits.
LOWEST_RANK, HIGHEST_RANK = -(2**15) - 1, 2**15


class PostgresStatements(Statements):
    """One statement each; enqueueing tells listeners in the same transaction."""

    # Not now(), which stands still in a transaction, nor clock_timestamp(), which is
    # volatile and cannot bound an index scan.
    clock_sql = "extract(epoch FROM statement_timestamp())::float8"
    version = "current_setting('server_version')"

    def __init__(self, connection: BaseDatabaseWrapper, queue: str) -> None:
        super().__init__(connection, queue)
        # Names of channels end at 63 bytes, names of queues do not.
        digest = hashlib.sha256(queue.encode()).hexdigest()
        self.channel = f"qcore_{digest[:32]}"
        self._psycopg3 = uses_psycopg3()
        # Of each rank: nothing of it waits that became visible before, as far as was
        # known when it was looked up, which has to be done again at a time of the
        # monotonic clock. A rank without packages stays known until a time of that clock.
        self._heads: dict[int, float] = {}
        self._heads_until = 0.0
        self._empty_until: dict[int, float] = {}

    def insert(
        self, cursor: Cursor, packages: Sequence[bytes], delay: float, rank: int
    ) -> list[int]:
        column, mark, more = self.rank_column(rank)
        into = (
            f"INSERT INTO {self.table}"
            f" ({self.key}, payload, visible, claimed, attempts{column})"
        )
        if len(packages) == 1:
            # Without WITH, planning takes 60 µs less of some 350.
            cursor.execute(
                f"{into} VALUES (%s, %s, {self.now} + %s, false, 0{mark})"
                " RETURNING id, pg_notify(%s, '')",
                [self.queue, packages[0], delay, *more, self.channel],
            )
            return [cursor.fetchone()[0]]
        # Sorted below the INSERT, so that ids are drawn in the order of the list; told
        # once for the batch. A notification is sent with the commit.
        # COPY with ids from the sequence takes 8.5 µs of CPU for each of 1,000 rows
        # where this takes 10.1, and as much for each of 250: it needs five round trips
        # instead of one, a transaction, and a right to the sequence that an INSERT
        # does without.
        cursor.execute(
            f"WITH added AS ({into} SELECT %s, package, {self.now} + %s, false, 0{mark}"
            f" FROM unnest({self._array}::bytea[]) WITH ORDINALITY AS given (package, place)"
            " ORDER BY place RETURNING id),"
            " told AS MATERIALIZED (SELECT pg_notify(%s, ''))"
            " SELECT added.id FROM added, told",
            [self.queue, delay, *more, list(packages), self.channel],
        )
        return sorted(id for (id,) in cursor.fetchall())

    def claim(self, cursor: Cursor, limit: int, lease: float) -> list[Claimed]:
        # Two shapes here keep the plan flat where the table has just been filled
        # and never analysed. Rows are compared as (key, priority_rank, visible), for which
        # the planner expects a ninth of the table: far more than LIMIT, so it reads the
        # index in order. `key = … AND visible <= …` makes it expect a 600th, read
        # the whole queue and sort it: 46 ms against 0.5 for 100 of 100,000 rows.
        # And ids come as an array, whose ten expected elements are looked up one by
        # one, where `IN (SELECT …)` may become a join with the whole table.
        # And it begins at the head: the index keeps an entry of each row that was
        # claimed or deleted until VACUUM has come by, which takes a minute at least.
        # Passing 275,000 tasks' entries cost a claim 2.6 ms, as much as 100 rows.
        is_known = time.monotonic() < self._heads_until
        if not is_known:
            self.ranks(cursor)
        elif len(self._heads) != 1 and self._has_others(cursor):
            is_known = False
            self.ranks(cursor)
        # With one rank, which is nearly always, its claim asks for others, too.
        alone = is_known and len(self._heads) == 1
        found = self._claim_known(cursor, limit, lease, alone=alone)
        # what was committed late lies before the head that was known
        if not found and is_known and self.ahead(cursor) <= 0:
            return self._claim_known(cursor, limit, lease)
        return found

    def _claim_known(
        self, cursor: Cursor, limit: int, lease: float, *, alone: bool = False
    ) -> list[Claimed]:
        """Claim of the known ranks; with ``alone``, only if there are no others."""
        if alone:
            (rank,) = self._heads
            return self._claim(cursor, rank, limit, lease, *self._others())
        return self.claim_ranks(cursor, sorted(self._heads), limit, lease)

    def claim_rank(
        self, cursor: Cursor, rank: int, limit: int, lease: float
    ) -> list[Claimed]:
        return self._claim(cursor, rank, limit, lease, "", [])

    def _claim(
        self,
        cursor: Cursor,
        rank: int,
        limit: int,
        lease: float,
        others: str,
        values: list[object],
    ) -> list[Claimed]:
        """Claim of one rank, unless the statement ``others`` finds something."""
        condition = f" AND ({others}) IS NULL" if others else ""
        place = f"({self.key}, priority_rank, visible)"
        cursor.execute(
            f"UPDATE {self.table} SET visible = {self.now} + %s, claimed = true,"
            f" attempts = least(greatest(attempts, 0), {MOST_ATTEMPTS}) + 1"
            " WHERE id = ANY(ARRAY("
            f"SELECT id FROM {self.table} WHERE {place} >= (%s, %s, %s)"
            f" AND {place} <= (%s, %s, {self.now})"
            f" ORDER BY {self.key}, priority_rank, visible, id LIMIT %s"
            f" FOR UPDATE SKIP LOCKED)){condition}"
            " RETURNING id, payload, attempts",
            [
                lease, self.queue, rank, self._heads[rank], self.queue, rank, limit,
                *values,
            ],
        )  # fmt: skip
        # psycopg2 gives memoryviews
        found = [(id, bytes(package), n) for id, package, n in cursor.fetchall()]
        return sorted(found)

    def _has_others(self, cursor: Cursor) -> bool:
        """Whether there are packages of a rank that is not known."""
        others, values = self._others()
        cursor.execute(f"SELECT {others}", values)
        return cursor.fetchone()[0] is not None

    def _others(self) -> tuple[str, list[object]]:
        """Return an expression that is null unless there are ranks that are not known."""
        edges = [LOWEST_RANK, *sorted(self._heads), HIGHEST_RANK]
        gaps = [(low, high) for low, high in pairwise(edges) if high - low > 1]
        place = f"({self.key}, priority_rank)"
        # ordered, for the reasons of `claim`
        found = (
            f"(SELECT priority_rank FROM {self.table} WHERE {place} > (%s, %s)"
            f" AND {place} < (%s, %s) ORDER BY {self.key}, priority_rank, visible, id"
            " LIMIT 1)"
        )
        values: list[object] = []
        for low, high in gaps:
            values += [self.queue, low, self.queue, high]
        return f"COALESCE({', '.join([found] * len(gaps))})", values

    def put_stat(self, cursor: Cursor, key: str, value: bytes, ttl: float) -> None:
        cursor.execute(
            f"INSERT INTO {self.stats} ({self.key}, value, expires)"
            f" VALUES (%s, %s, {self.now} + %s) ON CONFLICT ({self.key}) DO UPDATE"
            " SET value = excluded.value, expires = excluded.expires",
            [key, value, ttl],
        )

    def telling(self) -> tuple[str, list[object]]:
        # for each row, and heard once: what is alike in a transaction is sent once
        return " RETURNING pg_notify(%s, '')", [self.channel]

    def ranks(self, cursor: Cursor) -> list[Rank]:
        """Look up where each rank begins, too.

        What others are claiming is still there to see, so nothing is passed over that
        they may yet give up.
        """
        began = time.monotonic()
        found: list[Rank] = []
        heads: dict[int, float] = {}
        rank, now = LOWEST_RANK, 0.0
        while True:
            now, row = self._first_after(cursor, rank)
            if row is None:
                break
            rank, first = row
            if math.isnan(first):
                continue  # written by hand, and greater than all moments
            found.append((rank, float(first - now)))
            heads[rank] = min(first, now - LATE)
        ended = time.monotonic()
        self._keep_empty(heads, now, ended)
        self._heads = heads
        # Where a transaction keeps VACUUM away for hours, it may take long.
        self._heads_until = ended + max(HEAD_SECONDS, (ended - began) / HEAD_SHARE)
        return found

    def _first_after(
        self, cursor: Cursor, rank: int
    ) -> tuple[float, tuple[int, float] | None]:
        """Return the time, and the rank and moment of the first package behind a rank."""
        place = f"({self.key}, priority_rank)"
        # compared as in `claim`, and for its reasons
        cursor.execute(
            f"SELECT {self.now}, first.priority_rank, first.visible FROM (SELECT 1) AS one"
            f" LEFT JOIN (SELECT priority_rank, visible FROM {self.table}"
            f" WHERE {place} > (%s, %s) AND {place} < (%s, %s)"
            f" ORDER BY {self.key}, priority_rank, visible, id LIMIT 1) AS first ON true",
            [self.queue, rank, self.queue, HIGHEST_RANK],
        )
        now, next_rank, first = cursor.fetchone()
        return now, None if next_rank is None else (next_rank, first)

    def _keep_empty(self, heads: dict[int, float], now: float, at: float) -> None:
        """Keep ranks whose packages have gone: their entries stay until VACUUM comes.

        A claim begins behind those of a rank that it knows.
        """
        for rank in heads:
            self._empty_until.pop(rank, None)
        for rank in self._heads.keys() - heads.keys():
            if at < self._empty_until.setdefault(rank, at + EMPTY_SECONDS):
                heads[rank] = now - LATE
            else:
                del self._empty_until[rank]

    def diagnose(self, cursor: Cursor, conf: Conf) -> list[Finding]:
        # Others' transactions are NULL to a user who may not see them. Those that hold
        # a snapshot or an id are the ones that VACUUM waits for.
        cursor.execute(
            "SELECT current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int,"
            " count(*) FILTER (WHERE backend_type = 'client backend'),"
            " max(extract(epoch FROM clock_timestamp() - xact_start))"
            " FILTER (WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
            " AND coalesce(backend_xid, backend_xmin) IS NOT NULL)::float8"
            ", pg_backend_pid() FROM pg_stat_activity"
        )
        limit, used, oldest, pid = cursor.fetchone()
        # a pooler answers for the server, and makes up a number of its own
        own: Any = self.connection.connection
        return [
            *diagnosis.pooler(
                is_there=own.info.backend_pid != pid, poll=conf.poll, lease=conf.retry
            ),
            *diagnosis.connections(limit, used, conf.workers),
            *diagnosis.transactions(oldest),
        ]

    @property
    def _is_plain(self) -> bool:
        """Whether the driver's cursor is used: unless anybody logs or wraps statements."""
        watched = self.connection.queries_logged or self.connection.execute_wrappers
        return self._psycopg3 and not watched

    @property
    def _array(self) -> str:
        """The placeholder of an array.

        A list has to be asked for in binary form: psycopg would quote each member with a
        regular expression, for 1,000 packages of 140 bytes that is 7 µs each of 8.
        """
        return "%b" if self._is_plain else "%s"

    def cursor(self) -> AbstractContextManager[Cursor]:
        return self._plain_cursor() if self._is_plain else super().cursor()

    @contextmanager
    def _plain_cursor(self) -> Iterator[Cursor]:
        """Yield the driver's own cursor: parameters and results travel in binary form.

        Django's costs 45 µs more of the 115 µs that an INSERT takes here. What it
        does besides is done here too: connect, check, wrap errors.
        """
        from psycopg import Cursor as PsycopgCursor
        from psycopg.pq import Format

        connection = self.connection
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        connection.validate_no_broken_transaction()
        with (
            connection.wrap_database_errors,
            PsycopgCursor(connection.connection) as cursor,
        ):
            cursor.format = Format.BINARY
            yield cast("Cursor", cursor)

    def among(self, ids: Sequence[int]) -> tuple[str, list[object]]:
        return f"id = ANY({self._array})", [list(ids)]

    def waiter(self, look: Look, poll: float) -> Waiter:
        if self._psycopg3:
            return Listener(self.connection, self.channel, look, poll)
        return Polling(look, poll)

    def is_busy(self, error: BaseException) -> bool:
        return _code(error) in (DEADLOCK, SERIALIZATION, LOCK_TIMEOUT)

    def is_broken(self, error: BaseException) -> bool:
        # class 08 is a connection that broke, 57P01 one that an administrator ended
        code = _code(error)
        return code is None or code[:2] == "08" or code in ENDED

    def is_unmigrated(self, error: BaseException) -> bool:
        return _code(error) in (UNDEFINED_TABLE, UNDEFINED_COLUMN)


def uses_psycopg3() -> bool:
    """Whether Django found psycopg 3, and not psycopg2."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)


def _code(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error: psycopg 3 and psycopg2 name it differently."""
    code: str | None = getattr(error, "sqlstate", None) or getattr(
        error, "pgcode", None
    )
    return code
