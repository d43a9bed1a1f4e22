"""The contract of django-q for brokers, for classes that a project has written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.cache import InvalidCacheBackendError, caches

from ..conf import Conf

if TYPE_CHECKING:
    from django.core.cache.backends.base import BaseCache


class Broker:
    """The contract of django-q for brokers; a method that a subclass leaves out does nothing.

    Args:
        list_key: the queue; None means the project's own.
    """

    def __init__(self, list_key: str | None = None) -> None:
        self.list_key = list_key or Conf.CLUSTER_NAME
        self.connection = self.get_connection(self.list_key)
        self.cache = self.get_cache()
        self._info: str | None = None

    def __getstate__(self) -> tuple[Any, ...]:
        return self.list_key, self._info

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.list_key, self._info = state
        self.connection = self.get_connection(self.list_key)
        self.cache = self.get_cache()

    def enqueue(self, task: str) -> Any:
        """Store a package and return its id."""

    def dequeue(self) -> list[tuple[Any, str]] | None:
        """Claim packages: a list of (receipt, package), or None."""
        return None

    def queue_size(self) -> Any:
        """Return how many packages wait."""

    def lock_size(self) -> Any:
        """Return how many packages are claimed."""

    def delete_queue(self) -> Any:
        """Remove the queue."""

    def purge_queue(self) -> Any:
        """Remove all packages of the queue."""

    def delete(self, task_id: Any) -> Any:
        """Remove one package by its receipt."""

    def acknowledge(self, task_id: Any) -> Any:
        """Remove one package that was processed, by its receipt."""

    def fail(self, task_id: Any) -> Any:
        """Remove one package that cannot be read, by its receipt."""

    def ping(self) -> Any:
        """Return whether the service answers."""

    def info(self) -> Any:
        """Return name and version of the service."""
        return self._info

    # -- status ------------------------------------------------------------------------
    def set_stat(self, key: str, value: str, timeout: int) -> Any:
        """Keep a text in the cache, and its key in an index."""
        if self.cache is None:
            return None
        known = list(self.cache.get(Conf.Q_STAT) or [])
        if key not in known:
            self.cache.set(Conf.Q_STAT, [*known, key], None)
        return self.cache.set(key, value, timeout)

    def get_stat(self, key: str) -> Any:
        """Return a text that ``set_stat`` has kept, or None."""
        return None if self.cache is None else self.cache.get(key)

    def get_stats(self, pattern: str) -> list[Any] | None:
        """Return all texts that ``set_stat`` has kept and that have not expired."""
        if self.cache is None:
            return None
        known = list(self.cache.get(Conf.Q_STAT) or [])
        found = self.cache.get_many(known)
        if len(found) < len(known):
            self.cache.set(Conf.Q_STAT, [key for key in known if key in found], None)
        return [found[key] for key in known if key in found]

    @staticmethod
    def get_cache() -> BaseCache | None:
        """Return the cache of the setting ``cache``; None where there is none."""
        try:
            return caches[Conf.CACHE]
        except InvalidCacheBackendError:
            return None

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:  # noqa: ARG004 - the contract
        """Return a connection to the service."""
        return 0
