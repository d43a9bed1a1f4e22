"""A result store in the memory of this process, for tests."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, ClassVar

import msgspec

from .base import ResultStore
from .dead import group_rows
from .finished import FinishedTask
from .rows import (
    NAME,
    Row,
    clip,
    collapse,
    is_ended_call,
    join,
    merge,
    stored_value,
    task_of_row,
)
from .tally import Tally

if TYPE_CHECKING:
    import datetime as dt

    from ..envelope import Result, Task
    from .base import Record
    from .dead import DeadGroup


class MemoryStore(ResultStore):
    """Results in a dictionary that all stores of the process share; thread-safe.

    ``clear`` empties it, between two tests for example.
    """

    blocks = False
    supports_counts = True
    supports_resend = True
    supports_dead = True
    _rows: ClassVar[dict[str, Row]] = {}
    _lock: ClassVar = threading.RLock()

    @classmethod
    def clear(cls) -> None:
        """Forget every result of this process."""
        with cls._lock:
            cls._rows.clear()

    # -- for the recorder ----------------------------------------------------
    def save(self, results: Sequence[Result]) -> None:
        with self._lock:
            for row in collapse(results):
                self._rows[row.id] = merge(self._rows.get(row.id), row)

    def finished(self, ids: Collection[str]) -> dict[str, tuple[str, bytes]]:
        with self._lock:
            rows = {id: self._rows[id] for id in ids if id in self._rows}
        return {id: stored_value(row) for id, row in rows.items() if row.success}

    def crashes(self, ids: Collection[str]) -> dict[str, int]:
        with self._lock:
            return {id: self._rows[id].crashes if id in self._rows else 0 for id in ids}

    def collate(self, group: str, count: int) -> bool:
        with self._lock:
            elements = [r for r in self._labelled(group) if r.iter_index is not None]
            if group not in self._rows:
                if sum(map(is_ended_call, elements)) < count:
                    return False
                self._rows[group] = join(group, elements)
            for row in elements:
                del self._rows[row.id]
            return True

    def separate(self, group: str) -> None:
        with self._lock:
            for row in self._labelled(group):
                alone = msgspec.structs.replace(row, iter_index=None, iter_count=None)
                self._rows[row.id] = alone

    def ping(self) -> None:
        """Answer: memory is always there."""

    # -- for the API -----------------------------------------------------------
    def fetch(self, key: str) -> FinishedTask | None:
        with self._lock:
            row = self._find(key)
        return None if row is None else self._record(row)

    def fetch_group(  # type: ignore[override]
        self, group: str, failures: bool
    ) -> list[FinishedTask]:
        with self._lock:
            rows = [row for row in self._members(group) if row.success or failures]
        return [self._record(row) for row in rows]

    def count_group(self, group: str, failures: bool) -> int:
        with self._lock:
            return sum(not (failures and row.success) for row in self._members(group))

    def delete(self, key: str) -> bool:
        with self._lock:
            row = self._find(key)
            return row is not None and self._rows.pop(row.id) is not None

    def delete_group(self, group: str, tasks: bool) -> int:
        with self._lock:
            members = self._labelled(group)
            for row in members:
                if tasks:
                    del self._rows[row.id]
                else:
                    self._rows[row.id] = msgspec.structs.replace(row, group=None)
            return len(members)

    def task_of(self, id: str) -> Task | None:
        with self._lock:
            row = self._rows.get(id)
        return None if row is None else task_of_row(row)

    # -- dead tasks ----------------------------------------------------------------
    def dead_groups(self, limit: int | None = None) -> list[DeadGroup]:
        with self._lock:
            return group_rows(self._rows.values())[:limit]

    def dead_tasks(
        self,
        func: str | None = None,
        fingerprint: str | None = None,
        *,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Record]:
        with self._lock:
            rows = [
                row
                for row in self._rows.values()
                if row.is_dead
                and func in (None, row.func)
                and fingerprint in (None, row.fingerprint)
                and (before is None or row.id < before)
            ]
        rows.sort(key=lambda row: row.id, reverse=True)
        return [self._record(row) for row in rows[:limit]]

    def discard_dead(self, ids: Collection[str]) -> list[str]:
        with self._lock:
            rows = [self._rows[id] for id in ids if id in self._rows]
            dead = [row.id for row in rows if row.is_dead]
            for id in dead:
                del self._rows[id]
        return dead

    # -- for people --------------------------------------------------------------
    def count(self, since: dt.datetime | None = None) -> Tally:
        with self._lock:
            rows = list(self._rows.values())
        if since is not None:
            rows = [row for row in rows if row.stopped >= since.timestamp()]
        done = [row for row in rows if row.success and row.iter_index is None]
        failed = [row for row in rows if not row.success]
        taken = sum(row.stopped - row.started for row in [*done, *failed])
        return Tally(len(done), len(failed), None if since is None else taken)

    def _find(self, key: str) -> Row | None:
        if key in self._rows:
            return self._rows[key]
        named = [row for row in self._rows.values() if row.name == clip(key, NAME)]
        return max(named, key=lambda row: (row.stopped, row.id), default=None)

    def _members(self, group: str) -> list[Row]:
        """Return a group without the calls of an ``async_iter`` that is not joined."""
        members = [row for row in self._labelled(group) if row.iter_index is None]
        return sorted(members, key=lambda row: (row.enqueued, row.id))

    def _labelled(self, group: str) -> list[Row]:
        label = clip(group, NAME)
        return [row for row in self._rows.values() if row.group == label]

    def _record(self, row: Row) -> FinishedTask:
        return FinishedTask.of_row(row, self.conf.accept_content)
