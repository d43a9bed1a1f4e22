"""Broker classes of a project's own, named by ``broker_class``."""

from __future__ import annotations

from qcore.envelope import Delivery
from qcore_orm.broker import OrmBroker

from .ledger import note


class NotingBroker(OrmBroker):
    """Notes, under its queue, for how many packages it is asked in each call."""

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        note(f"asked on {self.queue}", str(limit))
        return super().dequeue(limit, wait)


class FirmBroker(OrmBroker):
    """Cannot prolong a lease."""

    supports_extend = False
