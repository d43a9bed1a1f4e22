"""Broker classes of a project's own, named by ``broker_class``."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, cast

from qcore.envelope import Delivery
from qcore_orm.broker import OrmBroker

from .ledger import note

if TYPE_CHECKING:
    from qcore.conf import Conf


class NotingBroker(OrmBroker):
    """Notes, under its queue, for how many packages it is asked in each call."""

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        note(f"asked on {self.queue}", str(limit))
        return super().dequeue(limit, wait)


class FirmBroker(OrmBroker):
    """Cannot prolong a lease."""

    supports_extend = False


class RestlessBroker(OrmBroker):
    """Delivers in any order, and about every second package once more.

    So do queues that promise "at least once", SQS for one: the further delivery has a
    receipt of its own that works, and counts as an attempt.
    """

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        self._random = Random(20)  # as good as any
        self._again: list[Delivery] = []

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = self._repeat(limit) if self._random.random() < 0.5 else []
        if not found:
            found = super().dequeue(limit, 0.05 if self._again else wait)
            for delivery in found:
                if self._random.random() < 0.5:
                    self._again.append(delivery)
                    note(f"repeats on {self.queue}", "kept")
        found = found or self._repeat(limit)
        self._random.shuffle(found)
        return found

    def _repeat(self, limit: int) -> list[Delivery]:
        chosen, self._again = self._again[:limit], self._again[limit:]
        end = time.monotonic() + self.lease
        return [
            Delivery(("copy", one.receipt), one.package, one.attempt + 1, end)
            for one in chosen
        ]

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        super().acknowledge_many(_originals(receipts))

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        super().release(_originals(receipts), delay=delay)

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        return super().extend(_originals(receipts))


def _originals(receipts: Sequence[Hashable]) -> list[Hashable]:
    """Leave out the receipts of further deliveries."""
    return [one for one in receipts if cast("tuple[Any, Any]", one)[0] != "copy"]
