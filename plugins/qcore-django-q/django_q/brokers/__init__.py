"""``Broker`` and ``get_broker`` as django-q has them: text in, text out.

A broker of qcore moves bytes and has settings; one of django-q moves text and has a
``list_key``. ``Broker`` here is the old contract, for classes that a project has written.
``get_broker`` gives what the project selects under the old names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.cache import InvalidCacheBackendError, caches

from qcore.brokers import Broker as QcoreBroker
from qcore.errors import Unsupported
from qcore.runtime import current

from ..conf import Conf
from ..signing import bytes_of, text_of

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


class CurrentBroker(Broker):
    """The broker of qcore that the project selects, under the names of django-q."""

    @property
    def qcore(self) -> QcoreBroker:
        """The broker of qcore."""
        return current.broker(self.list_key)

    def enqueue(self, task: str) -> str:
        return self.qcore.enqueue(bytes_of(task))

    def dequeue(self) -> list[tuple[Any, str]] | None:
        found = self.qcore.dequeue(max(1, int(Conf.BULK)), wait=float(Conf.POLL))
        return [(one.receipt, text_of(one.package)) for one in found] or None

    def queue_size(self) -> int | None:
        return self.qcore.sizes()[0]

    def lock_size(self) -> int | None:
        return self.qcore.sizes()[1]

    def delete_queue(self) -> None:
        self.qcore.delete_queue()

    def purge_queue(self) -> None:
        self.qcore.purge_queue()

    def delete(self, task_id: Any) -> None:
        """Remove a package by its receipt, or by the id that ``enqueue`` returned."""
        try:
            if self.qcore.delete(str(task_id)):
                return
        except Unsupported:
            pass
        self.acknowledge(task_id)

    def acknowledge(self, task_id: Any) -> None:
        if task_id is not None:
            self.qcore.acknowledge(task_id)

    def fail(self, task_id: Any) -> None:
        if task_id is not None:
            self.qcore.fail(task_id)

    def ping(self) -> bool:
        return self.qcore.ping()

    def info(self) -> str:
        return self.qcore.info()


def get_broker(list_key: str | None = None) -> Broker:
    """Return the broker that the project selects, for a queue.

    An old broker class of the project is made as it is; see ``CurrentBroker`` for others.
    """
    from .adapter import old_class

    kind = old_class()
    return CurrentBroker(list_key) if kind is None else kind(list_key=list_key)
