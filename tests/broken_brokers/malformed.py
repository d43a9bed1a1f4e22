"""Brokers that stumble over what somebody else has put into their queue."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from broken_brokers.sound import Sound, contracts

from qcore import Delivery
from qcore.brokers.memory import MemoryBroker


class DiesOfMalformedEntries(Sound):
    caught_by = "test_malformed_entries_stop_nobody"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = MemoryBroker.dequeue(self, limit, wait)
        return self.altered(found) if all(len(one.package) for one in found) else []


class HandsOutWhatIsNoBytes(Sound):
    caught_by = "test_malformed_entries_stop_nobody"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return MemoryBroker.dequeue(self, limit, wait)


class LeavesMalformedEntriesToTheirLease(Sound):
    caught_by = "test_malformed_entries_stop_nobody"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = MemoryBroker.dequeue(self, limit, wait)
        return [one for one in found if isinstance(one.package, bytes)]


class CannotFailWhatIsMalformed(Sound):
    caught_by = "test_malformed_entries_stop_nobody"

    def fail(self, receipt: Hashable) -> None:
        if isinstance(self._q.packages.get(self.held(receipt), b""), bytes):
            super().fail(receipt)


class CannotGiveBackWhatIsMalformed(Sound):
    caught_by = "test_malformed_entries_can_be_given_back"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        for receipt in receipts:
            self._q.packages[self.held(receipt)].decode()
        super().release(receipts, delay=delay)


globals().update(contracts(globals()))
