"""Status snapshots: a small collection whose documents expire by themselves."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from .connection import Connection, Queues
from .documents import NOW, STATS, Document, milliseconds

# The last code point: no key that begins with a prefix comes after prefix + this.
_LAST = "\U0010ffff"


class Stats:
    """Snapshots of all clusters that share a database.

    Args:
        connection: to the database of the queues.
        seconds: that a call may take.
    """

    def __init__(self, connection: Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._indexed = False

    def put(self, key: str, value: bytes, ttl: float) -> None:
        """Keep a snapshot for ``ttl`` seconds by the server's clock."""
        until = {"$toDate": {"$add": [NOW, milliseconds(ttl)]}}
        update = [{"$set": {"value": value, "until": until}}]

        def write(database: Queues) -> None:
            stats = database[STATS]
            if not self._indexed:
                stats.create_index("until", expireAfterSeconds=0)
                self._indexed = True
            try:
                stats.update_one({"_id": key}, update, upsert=True)
            except DuplicateKeyError:  # two wrote a new key at once
                stats.update_one({"_id": key}, update)

        self._connection.run(write, self._seconds, again=True)

    def with_prefix(self, prefix: str) -> list[bytes]:
        """Return the snapshots that are in force.

        MongoDB removes expired ones once a minute, so that some may still be there.
        """
        found: Document = {
            "_id": {"$gte": prefix, "$lt": f"{prefix}{_LAST}"},
            "$expr": {"$gt": [{"$toLong": "$until"}, NOW]},
        }
        return self._connection.run(
            lambda database: [one["value"] for one in database[STATS].find(found)],
            self._seconds,
        )
