"""The result store in a cache: fast, and kept for as long as the cache pleases.

Records are MessagePack, never pickles of ours, and signed. Keys, each under the project's
name::

    task:<id>             the record
    name:<name>           the id of the newest task of that name
    group:<group>         how many places the group has given out
    group:<group>:<n>     the id at place n, from 1
    iter:<group>:<index>  the id of one call of an async_iter
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from ..caches.signed import SignedCache
from ..envelope import Options, choose, new_id
from ..errors import StoreError, StoreRefused
from ..models import Task
from ..runtime import current
from .base import ResultStore
from .rows import (
    NAME,
    Row,
    clip,
    collapse,
    is_ended_call,
    join,
    merge,
    options_from,
    stored_value,
    task_of_row,
)

if TYPE_CHECKING:
    from ..caches.base import CacheBackend
    from ..conf import Conf
    from ..envelope import Result
    from ..envelope import Task as Envelope

#: Keys in one call of the cache.
MAX_KEYS = 500

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


class CacheStore(ResultStore):
    """Keeps results in a cache backend.

    The first success wins here too, as far as a cache can promise it: it has no
    transactions, so of two attempts that end in the same instant the later one stays.

    A cache cannot be searched: nobody can list its dead tasks.

    Args:
        conf: the settings.
        cache: None makes one of those that the settings select.
    """

    supports_resend = True

    def __init__(self, conf: Conf, cache: CacheBackend | None = None) -> None:
        super().__init__(conf)
        self._cache = SignedCache(cache or current.make("cache backend"), conf)

    # -- for the recorder ----------------------------------------------------
    def save(self, results: Sequence[Result]) -> None:
        ttls = {
            result.task.id: _seconds(result.task.options, self.conf)
            for result in results
        }
        with self._errors("store results"):
            rows = collapse(results)
            before = self._rows([row.id for row in rows])
            batches: dict[float | None, list[Row]] = {}
            for row in rows:
                batches.setdefault(ttls[row.id], []).append(
                    merge(before.get(row.id), row)
                )
            for ttl, batch in batches.items():
                # Places first: one without a record is passed over, and after a
                # failure in between, the record would seem to have its place.
                self._add_to_groups([r for r in batch if r.id not in before], ttl)
                self._write(batch, ttl)

    def _write(self, rows: Sequence[Row], ttl: float | None) -> None:
        values: dict[str, bytes] = {}
        for row in rows:
            values[self._key("task", row.id)] = _encode(row)
            if row.iter_index is None:
                values[self._key("name", row.name)] = row.id.encode()
            else:
                element = self._key("iter", row.group or "", row.iter_index)
                values[element] = row.id.encode()
        self._cache.set_many(values, ttl)

    def _add_to_groups(self, rows: Sequence[Row], ttl: float | None) -> None:
        """Give each row a place in its group; two clusters never get the same one."""
        for row in rows:
            if row.group is not None and row.iter_index is None:
                place = self._cache.count(self._key("group", row.group), ttl)
                key = self._key("group", row.group, place)
                self._cache.set(key, row.id.encode(), ttl)

    def finished(self, ids: Collection[str]) -> dict[str, tuple[str, bytes]]:
        with self._errors("look up results"):
            rows = self._rows(ids)
        return {id: stored_value(row) for id, row in rows.items() if row.success}

    def crashes(self, ids: Collection[str]) -> dict[str, int]:
        with self._errors("look up results"):
            rows = self._rows(ids)
        return {id: rows[id].crashes if id in rows else 0 for id in ids}

    def collate(self, group: str, count: int) -> bool:
        label = clip(group, NAME)
        with self._errors("join results"):
            keys = [self._key("iter", label, index) for index in range(count)]
            ids = self._ids(keys)
            if not self._rows([group]):
                rows = self._rows(ids)
                if sum(map(is_ended_call, rows.values())) < count:
                    return False
                joined = [join(group, list(rows.values()))]
                ttl = _seconds(options_from(joined[0].options), self.conf)
                self._add_to_groups(joined, ttl)
                self._write(joined, ttl)
            self._cache.delete_many([*keys, *(self._key("task", id) for id in ids)])
            return True

    def separate(self, group: str) -> None:
        label = clip(group, NAME)
        with self._errors("separate results"):
            first = 0
            while True:
                places = range(first, first + MAX_KEYS)
                keys = [self._key("iter", label, place) for place in places]
                rows = [
                    msgspec.structs.replace(row, iter_index=None, iter_count=None)
                    for row in self._rows(self._ids(keys)).values()
                ]
                if not rows:
                    return
                ttl = _seconds(options_from(rows[0].options), self.conf)
                self._add_to_groups(rows, ttl)
                self._write(rows, ttl)
                self._cache.delete_many(keys)
                first += MAX_KEYS

    def ping(self) -> None:
        key = self._key("ping", new_id())
        with self._errors("store anything"):
            self._cache.set(key, b"ping", 60)
            self._cache.delete_many([key])

    # -- for the API -----------------------------------------------------------
    def fetch(self, key: str) -> Task | None:
        with self._errors("read a result"):
            row = self._row(key)
            return None if row is None else Task.from_row(row)

    def fetch_group(self, group: str, failures: bool) -> list[Task]:  # type: ignore[override]
        with self._errors("read a group"):
            rows = self._members(group)
        return [Task.from_row(row) for row in rows if row.success or failures]

    def count_group(self, group: str, failures: bool) -> int:
        with self._errors("count a group"):
            return sum(not (failures and row.success) for row in self._members(group))

    def delete(self, key: str) -> bool:
        with self._errors("delete a result"):
            row = self._row(key)
            if row is None:
                return False
            self._cache.delete_many([self._key("task", row.id)])
            return True

    def delete_group(self, group: str, tasks: bool) -> int:
        label = clip(group, NAME)
        with self._errors("delete a group"):
            rows = self._members(group)
            keys = list(self._places(label))
            if tasks:
                keys += [self._key("task", row.id) for row in rows]
            self._cache.delete_many([*keys, self._key("group", label)])
        return len(rows)

    def task_of(self, id: str) -> Envelope | None:
        with self._errors("read a result"):
            found = self._rows([id])
        return task_of_row(found[id]) if id in found else None

    def close(self) -> None:
        self._cache.close()

    # -- keys --------------------------------------------------------------------
    def _key(self, *parts: object) -> str:
        return ":".join(map(str, (self.conf.name, *parts)))

    def _row(self, key: str) -> Row | None:
        """Return the record of an id or a name."""
        found = self._rows([key])
        if not found:
            id = self._cache.get(self._key("name", clip(key, NAME)))
            found = self._rows([id.decode()]) if id is not None else {}
        return next(iter(found.values()), None)

    def _rows(self, ids: Collection[str]) -> dict[str, Row]:
        keys = (self._key("task", id) for id in ids)
        return {row.id: row for row in map(_decode, self._get(keys))}

    def _members(self, group: str) -> list[Row]:
        """Return the records of a group, oldest first."""
        rows = self._rows(self._ids(self._places(clip(group, NAME))))
        return sorted(rows.values(), key=lambda row: (row.enqueued, row.id))

    def _places(self, label: str) -> Iterator[str]:
        last = self._cache.counted(self._key("group", label))
        return (self._key("group", label, place) for place in range(1, last + 1))

    def _ids(self, keys: Iterable[str]) -> list[str]:
        # a task that two clusters stored at once has two places
        return list(dict.fromkeys(value.decode() for value in self._get(keys)))

    def _get(self, keys: Iterable[str]) -> Iterator[bytes]:
        """Yield the values of those keys that have one, in the order of the keys."""
        keys = iter(keys)
        while part := list(islice(keys, MAX_KEYS)):
            found = self._cache.get_many(part)
            yield from (found[key] for key in part if key in found)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Say what could not be done; raise nothing but errors of the contract."""
        try:
            yield
        except StoreError as error:
            raise type(error)(f"cannot {what} in the cache: {error}") from error
        except (TypeError, ValueError, OverflowError) as error:  # of a value
            raise StoreRefused(
                f"cannot {what} in the cache: {type(error).__name__}: {error}"
            ) from error
        except Exception as error:  # a cache backend of a plugin
            raise StoreError(
                f"cannot {what} in the cache: {type(error).__name__}: {error}"
            ) from error


def _seconds(options: Options, conf: Conf) -> float | None:
    """Return for how long a result is kept, None for ever."""
    cached = choose(options.cached, conf.cached)
    return None if isinstance(cached, bool) else float(cached)
