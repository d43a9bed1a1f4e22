"""The broker whose queue is a table of the project's own database."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from django.apps import apps

from qcore.brokers.base import Broker
from qcore.brokers.tools import as_attempt, as_package, by_attempt, chunks, pack
from qcore.envelope import Delivery
from qcore.errors import BrokerError, ConfigError, NoReply

from .lengths import KEY_LENGTH
from .session import Session

if TYPE_CHECKING:
    from qcore.conf import Conf
    from qcore.findings import Finding

    from .statements import Cursor
    from .waiting import Waiter

#: What identifies a claim: the id of the row, and the attempt that it counted.
Receipt = tuple[int, int]

#: Bytes that one INSERT carries at most, unless a single package has more. MariaDB
#: takes 16 MiB in a statement by default (max_allowed_packet), escapes included.
STATEMENT_BYTES = 4 * 1024 * 1024
#: Seconds between two clearances of snapshots whose clusters are gone.
CLEARANCE = 60.0


class OrmBroker(Broker):
    """Queues in the table ``qcore_orm_ormq`` of the database that ``orm`` names.

    It works on Django's connection of the calling thread. ``enqueue`` therefore joins
    the transaction that is open there: what is rolled back was never sent.

    Raises:
        ConfigError: ``orm`` names no database, or one whose kind is not supported, or
            the app is not installed.
    """

    supports_bulk = True
    supports_release = True
    supports_delay = True
    supports_extend = True
    supports_blocking = True
    supports_order = True
    supports_priority = True
    supports_delete = True
    supports_counts = True
    supports_durable = True
    supports_transactional = True
    supports_stats = True
    # SQLite takes 32,766 parameters in a statement; beyond 1,000 nothing is gained.
    max_batch = 1000

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        self.max_payload = conf.max_payload
        # None: this is the only broker installed, or `broker_class`
        self.database = conf.options.get("orm") or "default"
        if not apps.is_installed("qcore_orm"):
            raise ConfigError(
                "the ORM broker needs its tables. Add 'qcore_orm' to INSTALLED_APPS and"
                f" run: python manage.py migrate --database={self.database}"
            )
        if len(self.queue) > KEY_LENGTH:
            raise ConfigError(
                f"the name of a queue has {len(self.queue)} characters, the ORM broker"
                f" takes up to {KEY_LENGTH}: {self.queue[:40]!r}..."
            )
        self._session = Session(self.database, self.queue)
        self._sql = self._session.statements
        self._waiter: Waiter = self._sql.waiter(self._look, conf.poll)
        self._is_still = False  # the last call ended with a look that found nothing
        self._clear_at = 0.0

    # -- sending -----------------------------------------------------------
    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return self.enqueue_with_priority(packages, 0, delay=delay)

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        self.check_size(packages)
        batches = list(pack(packages, count=self.max_batch, size=STATEMENT_BYTES))
        if not batches:
            return []

        def insert(cursor: Cursor) -> list[str]:
            found = [
                self._sql.insert(cursor, batch, delay, -priority) for batch in batches
            ]
            return [str(id) for ids in found for id in ids]

        try:
            return self._session.run(insert, atomic=len(batches) > 1)
        except NoReply as error:
            error.unsure = len(packages)  # one transaction: all are stored, or none
            raise

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        end = time.monotonic() + wait
        while True:
            if not self._is_still or wait <= 0:
                self._is_still = False
                found = self._claim(min(limit, self.max_batch))
                if found:
                    self._waiter.found()
                    return found
            left = end - time.monotonic()
            if left <= 0:
                return []
            self._is_still = not self._waiter.pause(left)
            if self._is_still:
                return []

    def _claim(self, limit: int) -> list[Delivery]:
        def claim(cursor: Cursor) -> list[Delivery]:
            self._waiter.mark()
            asked = time.monotonic()
            end = asked + self.lease - self._sql.tick
            rows = self._sql.claim(cursor, limit, self.lease)
            return [
                Delivery((id, n), as_package(package), as_attempt(n), end)
                for id, package, n in rows
            ]

        return self._session.run(claim)

    def _look(self) -> float:
        try:
            return self._session.run(self._sql.ahead)
        except BrokerError:
            return 0.0  # the claim that follows will say what is wrong

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        ids = sorted({id for id, _ in _ours(receipts)})
        for part in chunks(ids, self.max_batch):
            self._session.run(partial(self._sql.delete, ids=part))

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        for attempt, ids in by_attempt(_ours(receipts), self.max_batch):
            work = partial(self._sql.release, ids=ids, attempt=attempt, delay=delay)
            self._session.run(work)

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        lost: set[Hashable] = set()
        for attempt, ids in by_attempt(_ours(receipts), self.max_batch):
            work = partial(self._sql.extend, ids=ids, attempt=attempt, lease=self.lease)
            lost |= {(id, attempt) for id in self._session.run(work)}
        return lost

    # -- looking after -------------------------------------------------------
    def delete(self, id: str) -> bool:
        # longer than any id: a database would refuse the number itself
        if not id.isdecimal() or len(id) > 18:
            return False
        return self._session.run(lambda cursor: self._sql.delete(cursor, [int(id)])) > 0

    def queue_size(self) -> int:
        total, claimed = self._session.run(self._sql.count)
        return total - claimed

    def lock_size(self) -> int:
        return self._session.run(self._sql.count)[1]

    def oldest_waiting(self) -> float | None:
        return self._session.run(self._sql.oldest_waiting)

    def ahead(self) -> float | None:
        seconds = self._session.run(self._sql.ahead)
        return None if math.isinf(seconds) else max(0.0, seconds)

    def delayed(self) -> list[tuple[float, bytes]]:
        return self._session.run(self._sql.delayed)

    def purge_queue(self) -> None:
        self._session.run(self._sql.purge)

    def ping(self) -> bool:
        self._session.run(self._sql.server_version)
        return True

    def info(self) -> str:
        return self._session.run(self._sql.describe)

    def clock(self) -> float:
        return self._session.run(self._sql.clock)

    def diagnose(self) -> list[Finding]:
        return self._session.run(partial(self._sql.diagnose, conf=self.conf))

    def close(self) -> None:
        self._waiter.close()
        self._session.close()

    # -- status snapshots ----------------------------------------------------
    def set_stat(self, key: str, value: bytes, ttl: float) -> None:
        self._session.run(lambda cursor: self._sql.put_stat(cursor, key, value, ttl))
        if time.monotonic() >= self._clear_at:
            self._session.run(self._sql.expire_stats)
            self._clear_at = time.monotonic() + CLEARANCE

    def get_stats(self, prefix: str) -> list[bytes]:
        return self._session.run(lambda cursor: self._sql.stats_with(cursor, prefix))


def _ours(receipts: Sequence[Hashable]) -> Sequence[Receipt]:
    # in one order everywhere, so that two callers do not lock crosswise
    return sorted(cast("Sequence[Receipt]", receipts))
