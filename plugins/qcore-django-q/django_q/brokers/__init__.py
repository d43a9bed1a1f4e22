"""``Broker`` and ``get_broker`` as django-q has them: text in, text out.

A broker of qcore moves bytes and has settings; one of django-q moves text and has a
``list_key``. ``Broker`` here is the old contract, for classes that a project has written.
``get_broker`` gives what the project selects under the old names.
"""

from __future__ import annotations

from typing import Any

from qcore.brokers import Broker as QcoreBroker
from qcore.errors import Unsupported
from qcore.runtime import current

from ..conf import Conf
from ..signing import bytes_of, text_of
from .contract import Broker

__all__ = ["Broker", "CurrentBroker", "get_broker"]


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
