"""Runs a broker class that was written for django-q as a broker of qcore.

What the old contract cannot say, the cluster does without: it renews no lease, gives
nothing back, and counts attempts only as far as results are stored. A receipt is what the
class returns; None, as of django-q's Redis broker, means that a claim is final.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from typing import Any

from qcore import Conf, Delivery
from qcore.brokers import Broker as QcoreBroker
from qcore.errors import BrokerUnavailable, ConfigError, QcoreError

from ..signing import bytes_of, text_of


def old_class() -> type[Any] | None:
    """Return the broker class of the project if it is one of django-q's kind."""
    from django.conf import settings
    from django.utils.module_loading import import_string

    from ..overrides import overrides
    from ..settings import CLASSES
    from .contract import Broker

    options = {**getattr(settings, "Q_CLUSTER", {}), **overrides}
    path = options.get("broker_class")
    if not path or path in CLASSES:
        return None
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConfigError(
            f"Q_CLUSTER['broker_class'] is {path!r}, which cannot be imported: {error}"
        ) from error
    is_old = isinstance(found, type) and issubclass(found, Broker)
    return found if is_old else None


class OldBroker(QcoreBroker):
    """One instance of the project's broker class, for one queue."""

    supports_bulk = True
    supports_counts = True

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        kind = old_class()
        if kind is None:
            raise ConfigError(
                "Q_CLUSTER['broker_class'] names no subclass of django_q.brokers.Broker."
            )
        self._kind = kind
        self._old: Any = None
        #: Claimed in one call of the class, and more than were asked for.
        self._claimed: list[Delivery] = []

    @property
    def old(self) -> Any:
        """The instance; it may connect when it is made, so it is made on first use."""
        if self._old is None:
            self._old = self._call("be made", lambda: self._kind(list_key=self.queue))
        return self._old

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        self.check_delay(delay)
        ids: list[str] = []
        for package in packages:
            text = text_of(package)
            try:
                ids.append(
                    str(self._call("enqueue", lambda t=text: self.old.enqueue(t)))
                )
            except BrokerUnavailable as error:
                error.stored, error.unsure = len(ids), 1
                raise
        return ids

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        if self._claimed:
            return self._some(limit)
        begun = time.monotonic()
        found = self._call("dequeue", self._dequeue) or []
        if isinstance(found, tuple):
            found = [found]
        lease_end = begun + self.lease
        if not found and wait > 0 and (left := begun + wait - time.monotonic()) > 0:
            # the old contract asks a broker to wait by itself; one that does not would
            # be asked again at once
            time.sleep(min(left, self.conf.poll))
        self._claimed = [
            Delivery(
                receipt=receipt, package=bytes_of(text), attempt=1, lease_end=lease_end
            )
            for receipt, text in found
        ]
        return self._some(limit)

    def _dequeue(self) -> Any:
        return self.old.dequeue()

    def _some(self, limit: int) -> list[Delivery]:
        some, self._claimed = self._claimed[:limit], self._claimed[limit:]
        return some

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        for receipt in receipts:
            if receipt is not None:
                self._call("acknowledge", lambda r=receipt: self.old.acknowledge(r))

    def fail(self, receipt: Hashable) -> None:
        if receipt is not None:
            self._call("fail", lambda: self.old.fail(receipt))

    def queue_size(self) -> int:
        return int(self._call("count", self.old.queue_size) or 0)

    def lock_size(self) -> int:
        return int(self._call("count", self.old.lock_size) or 0)

    def purge_queue(self) -> None:
        self._call("purge its queue", self.old.purge_queue)

    def delete_queue(self) -> None:
        self._call("delete its queue", self.old.delete_queue)

    def ping(self) -> bool:
        if self._call("ping", self.old.ping) is False:
            raise BrokerUnavailable(f"{self._name()} says that its service is away.")
        return True

    def info(self) -> str:
        return str(self._call("describe itself", self.old.info) or self._name())

    def _name(self) -> str:
        return f"{self._kind.__module__}.{self._kind.__qualname__}"

    def _call(self, what: str, call: Any) -> Any:
        try:
            return call()
        except QcoreError:
            raise
        except Exception as error:
            raise BrokerUnavailable(
                f"the broker class {self._name()} cannot {what}:"
                f" {type(error).__name__}: {error}"
            ) from error
