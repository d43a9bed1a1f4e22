"""A cache backend whose values are rows of a file."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from qcore import CacheBackend
from qcore.errors import StoreRefused

from .database import Database

if TYPE_CHECKING:
    from qcore import Conf

TABLES = (
    "CREATE TABLE IF NOT EXISTS cache (key BLOB PRIMARY KEY, value BLOB, ends REAL)",
)
READ = "SELECT value FROM cache WHERE key = ? AND (ends IS NULL OR ends > ?)"


class ExampleCache(CacheBackend):
    """Keeps values in a file that the processes of a project share."""

    def __init__(self, conf: Conf) -> None:
        """Check the options; the file is not touched before it is needed."""
        super().__init__(conf)
        self._database = Database(conf, "example_cache", "cache.sqlite3", TABLES)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        with self._database.transaction() as database:
            found = {key: _read(database, key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        ends = _ends(ttl)
        with self._database.transaction() as database:
            database.execute("DELETE FROM cache WHERE ends <= ?", [time.time()])
            for key, value in values.items():
                _write(database, key, value, ends)

    def add(self, key: str, value: bytes, ttl: float | None) -> bool:
        ends = _ends(ttl)
        with self._database.transaction() as database:
            if _read(database, key) is not None:
                return False
            _write(database, key, value, ends)
            return True

    def count(self, key: str, ttl: float | None) -> int:
        ends = _ends(ttl)
        with self._database.transaction() as database:
            number = int(_read(database, key) or 0) + 1
            _write(database, key, b"%d" % number, ends)
            return number

    def delete_many(self, keys: Iterable[str]) -> None:
        with self._database.transaction() as database:
            for key in keys:
                database.execute("DELETE FROM cache WHERE key = ?", [_name(key)])

    def info(self) -> str:
        return f"folder {self._database.place}"


def _read(database: sqlite3.Connection, key: str) -> bytes | None:
    row = database.execute(READ, [_name(key), time.time()]).fetchone()
    return None if row is None else bytes(row[0])


def _write(
    database: sqlite3.Connection, key: str, value: bytes, ends: float | None
) -> None:
    values = [_name(key), value, ends]
    database.execute("INSERT OR REPLACE INTO cache VALUES (?, ?, ?)", values)


def _name(key: str) -> bytes:
    """Return a key as bytes: any text is one, also what UTF-8 refuses."""
    return key.encode(errors="surrogatepass")


def _ends(ttl: float | None) -> float | None:
    """Return when a value is forgotten, in seconds since the epoch; None is never."""
    if ttl is None or ttl == math.inf:
        return None
    if math.isnan(ttl):
        raise StoreRefused("the time to live is nan, expected seconds or None")
    return time.time() + max(ttl, 1)
