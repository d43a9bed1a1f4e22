"""A cache backend, a scheduler and a result store that are not ours, in memory."""

from __future__ import annotations

from typing import Any, ClassVar

from qcore import CacheBackend, Scheduler
from qcore.results.memory import MemoryStore


class Cache(CacheBackend):
    """A dictionary of this process."""

    kept: ClassVar[dict[str, bytes]] = {}

    def get_many(self, keys):
        return {key: self.kept[key] for key in keys if key in self.kept}

    def set_many(self, values, ttl):
        self.kept.update(values)

    def add(self, key, value, ttl):
        return self.kept.setdefault(key, value) is value

    def count(self, key, ttl):
        number = int(self.kept.get(key, b"0")) + 1
        self.kept[key] = b"%d" % number
        return number

    def delete_many(self, keys):
        for key in keys:
            self.kept.pop(key, None)

    def info(self):
        return "a dictionary"


class Store(MemoryStore):
    """Ours for tests, under another name."""


class Silent(Store):
    """Cannot count, and keeps no packages."""

    supports_counts = False


class Clock(Scheduler):
    """Remembers what it is told and fires nothing."""

    kept: ClassVar[list[Any]] = []

    def tick(self):
        return 60.0

    def schedule(self, func, args, **options):
        self.kept.append((func, args, options))
        return self.kept[-1]
