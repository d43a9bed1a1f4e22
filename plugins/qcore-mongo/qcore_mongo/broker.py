"""The broker: a collection for each queue, a document for each package."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, TypeVar, cast

from bson import ObjectId
from pymongo import ReturnDocument, UpdateOne

from qcore.brokers.base import Broker
from qcore.brokers.pauses import Pauses
from qcore.brokers.tools import (
    CALLER_REPLY_SECONDS,
    as_attempt,
    as_package,
    by_attempt,
    chunks,
    cluster_reply_seconds,
    pack,
    send_parts,
)
from qcore.envelope import Delivery
from qcore.errors import ConfigError

from . import documents as docs
from . import server
from .connection import Connection
from .diagnosis import diagnose
from .options import Options
from .server import Queue
from .stats import Stats

if TYPE_CHECKING:
    from qcore.conf import Conf
    from qcore.findings import Finding

T = TypeVar("T")

#: Bytes: the 16 MiB of a BSON document, less room for the fields beside the package.
MAX_PACKAGE = 16 * 1024 * 1024 - 64 * 1024
# Bytes that one call sends at most, unless a single package has more; a message to a
# server has room for 48 MB.
PART_BYTES = 16 * 1024 * 1024
# How long a reply may take where a cluster waits for it: this part of the lease, and so
# many seconds at most. A claim takes up to three calls.
LEASE_SHARE = 1 / 3
LONGEST_SECONDS = 10.0
# Seconds for a call for which the server must go through a whole collection.
LONG_SECONDS = 300.0
# Seconds of the first pause of an idle cluster, and how fast the pauses grow.
FIRST_PAUSE, PAUSE_GROWTH = 0.005, 1.6
# Seconds; a `poll` below this would be a busy loop over the network.
SHORTEST_POLL = 0.01
# The server counts in whole milliseconds and cuts off the rest.
TICK = 0.001
# Seconds between two looks whether the index is still there; another process may
# have deleted the queue with it.
INDEX_SECONDS = 60.0


class MongoBroker(Broker):
    """Queues in MongoDB (4.2 or later); see the README of qcore-mongo.

    Raises:
        ConfigError: an option is unknown or wrong, or a name too long.
    """

    supports_bulk = True
    supports_release = True
    supports_delay = True
    supports_extend = True
    supports_order = True
    supports_delete = True
    supports_counts = True
    supports_durable = True
    supports_stats = True
    max_batch = 200

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        self.max_payload = min(conf.max_payload, MAX_PACKAGE)
        seconds = cluster_reply_seconds(
            self.lease, share=LEASE_SHARE, longest=LONGEST_SECONDS
        )
        options = Options.from_conf(conf, seconds)
        self._name = docs.collection_name(self.queue)
        size = len(f"{options.database}.{self._name}".encode())
        if size > docs.NAMESPACE_BYTES:
            raise ConfigError(
                f"the queue {self.queue[:40]!r}... would need {size} bytes for the name"
                f" of its collection, MongoDB takes {docs.NAMESPACE_BYTES}. Shorten it."
            )
        self._connection = Connection(options)
        self._pauses = Pauses(FIRST_PAUSE, PAUSE_GROWTH, max(conf.poll, SHORTEST_POLL))
        self._stats = Stats(self._connection, CALLER_REPLY_SECONDS)
        self._made = False  # whether the queue is known to exist
        self._index_at = 0.0

    # -- sending -----------------------------------------------------------
    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        self.check_size(packages)
        parts = pack(packages, count=self.max_batch, size=PART_BYTES)
        seconds = CALLER_REPLY_SECONDS if len(packages) == 1 else None
        return send_parts(parts, partial(self._store, delay=delay, seconds=seconds))

    def _store(
        self, packages: Sequence[bytes], *, delay: float, seconds: float | None
    ) -> list[str]:
        ids = [ObjectId() for _ in packages]
        # Inserts could not ask the server for the time; upserts can.
        writes = [
            UpdateOne({"_id": id}, docs.stored(package, delay), upsert=True)
            for id, package in zip(ids, packages, strict=True)
        ]
        self._run(partial(self._write, writes), seconds, writes=True)
        return [str(id) for id in ids]

    def _write(self, writes: list[UpdateOne], queue: Queue) -> None:
        # The first document would make the queue without its index, and the first
        # cluster would then have to make it over everything that waits.
        if not self._made:
            if not queue.index_information():
                queue.create_index(docs.ORDER)
            self._made = True
        queue.bulk_write(writes)

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        limit = min(limit, self.max_batch)
        if limit < 1:
            return []
        end = time.monotonic() + wait
        self._keep_index()
        while True:
            found = self._claim_many(limit) if limit > 1 else self._claim_one()
            if found:
                self._pauses.reset()
                return found
            left = end - time.monotonic()
            if left <= 0:
                return []
            time.sleep(min(left, self._pauses.next()))

    def _claim_one(self) -> list[Delivery]:
        lease_end = self._lease_end()
        found = self._run(
            lambda queue: queue.find_one_and_update(
                docs.VISIBLE,
                docs.claimed(ObjectId(), self.lease),
                projection=docs.DELIVERED,
                sort=docs.ORDER,
                return_document=ReturnDocument.AFTER,
            )
        )
        return [self._delivery(found, lease_end)] if found else []

    def _claim_many(self, limit: int) -> list[Delivery]:
        """Claim the oldest, and read which of them are ours.

        The update takes each document only if it is still visible, so that of two
        claims that chose the same ones each has some, and none has those of the other.
        """
        ids = self._run(
            lambda queue: [
                one["_id"]
                for one in queue.find(
                    docs.VISIBLE, {"_id": 1}, sort=docs.ORDER, limit=limit
                )
            ]
        )
        if not ids:
            return []
        claim = ObjectId()
        lease_end = self._lease_end()
        chosen: docs.Document = {"_id": {"$in": ids}}
        update = docs.claimed(claim, self.lease)
        self._run(
            lambda queue: queue.update_many({**chosen, **docs.VISIBLE}, update),
            again=True,
        )
        ours = self._run(
            lambda queue: list(queue.find({**chosen, "claim": claim}, docs.DELIVERED))
        )
        if not ours:
            return self._claim_one()  # others were faster; this cannot lose a race
        place = {docs.key(id): index for index, id in enumerate(ids)}
        ours.sort(key=lambda one: place[docs.key(one["_id"])])
        return [self._delivery(one, lease_end) for one in ours]

    def _delivery(self, found: docs.Document, lease_end: float) -> Delivery:
        attempt = found["attempt"]  # a whole number, for this claim has written it
        if (package := found.get("package")) is None:
            # somebody else's document; all of it may tell whose
            chosen = {"_id": found["_id"]}
            package = self._run(lambda queue: queue.find_one(chosen, docs.FOREIGN))
        return Delivery(
            (docs.key(found["_id"]), attempt),
            as_package(package),
            as_attempt(attempt),
            lease_end,
        )

    def _lease_end(self) -> float:
        return time.monotonic() + self.lease - TICK

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        keys = dict.fromkeys(id for id, _ in _ours(receipts))
        for part in chunks(list(keys), self.max_batch):
            self._run(methodcaller("delete_many", docs.among(part)), again=True)

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        """Give deliveries back: to their old place, or delayed to a later one."""
        update = docs.released(delay)
        for attempt, ids in by_attempt(_ours(receipts), self.max_batch):
            ours = docs.held(ids, attempt)
            self._run(methodcaller("update_many", ours, update), again=True)

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        lost: set[Hashable] = set()
        for attempt, ids in by_attempt(_ours(receipts), self.max_batch):
            kept = self._prolong(ids, attempt)
            lost |= {(id, attempt) for id in ids if id not in kept}
        return lost

    def _prolong(self, ids: Sequence[docs.Key], attempt: int) -> set[docs.Key]:
        ours = docs.held(ids, attempt)
        update = docs.extended(self.lease)

        def prolong(queue: Queue) -> set[docs.Key]:
            if queue.update_many(ours, update).matched_count == len(ids):
                return set(ids)
            return {docs.key(one["_id"]) for one in queue.find(ours, {"_id": 1})}

        return self._run(prolong, again=True)

    # -- looking after -------------------------------------------------------
    def delete(self, id: str) -> bool:
        if not ObjectId.is_valid(id):
            return False
        chosen = {"_id": ObjectId(id), **docs.UNHELD}
        done = self._run(lambda queue: queue.delete_one(chosen), CALLER_REPLY_SECONDS)
        return done.deleted_count > 0

    def queue_size(self) -> int:
        total = self._run(lambda queue: queue.count_documents({}))
        return max(0, total - self.lock_size())

    def lock_size(self) -> int:
        return self._run(lambda queue: queue.count_documents(docs.HELD))

    def oldest_waiting(self) -> float | None:
        found = self._run(
            lambda queue: list(queue.aggregate(docs.OLDEST)), CALLER_REPLY_SECONDS
        )
        return max(0, found[0]["age"]) / 1000 if found else None

    def purge_queue(self) -> None:
        self._run_long(lambda queue: queue.delete_many({}))

    def delete_queue(self) -> None:
        self._run_long(lambda queue: queue.drop())
        self._made, self._index_at = False, 0.0

    def ping(self) -> bool:
        self._run(lambda queue: queue.database.command("ping"), CALLER_REPLY_SECONDS)
        return True

    def info(self) -> str:
        version = self._run(server.version, CALLER_REPLY_SECONDS)
        return f"MongoDB {version or 'of a version that it does not tell'}"

    def clock(self) -> float:
        return self._run(server.clock, CALLER_REPLY_SECONDS)

    def diagnose(self) -> list[Finding]:
        address = self._connection.address
        return diagnose(self._run(partial(server.facts, address=address)))

    def info_name(self) -> str:
        return "MongoDB (Q_CLUSTER['max_payload'], at most 16 MiB)"

    def close(self) -> None:
        self._connection.close()

    def _keep_index(self) -> None:
        """Have the index made where it is missing, and foreign documents shown."""
        if time.monotonic() < self._index_at:
            return
        known = self._run(lambda queue: queue.index_information())
        if not server.has_index(known):
            # harmless when several do it at once
            self._run_long(lambda queue: queue.create_index(docs.ORDER))
        self._run(methodcaller("update_many", docs.NEVER_VISIBLE, docs.SHOWN))
        self._index_at = time.monotonic() + INDEX_SECONDS

    def _run(
        self,
        work: Callable[[Queue], T],
        seconds: float | None = None,
        *,
        again: bool = False,
        writes: bool = False,
    ) -> T:
        return self._connection.run(
            lambda database: work(database[self._name]),
            seconds,
            again=again,
            writes=writes,
        )

    def _run_long(self, work: Callable[[Queue], object]) -> None:
        self.ping()  # a server that is not there is not waited for as long
        self._run(work, LONG_SECONDS, again=True)

    # -- status snapshots ------------------------------------------------------
    def set_stat(self, key: str, value: bytes, ttl: float) -> None:
        self._stats.put(key, value, ttl)

    def get_stats(self, prefix: str) -> list[bytes]:
        return self._stats.with_prefix(prefix)


def _ours(receipts: Sequence[Hashable]) -> Sequence[docs.Receipt]:
    return cast("Sequence[docs.Receipt]", receipts)
