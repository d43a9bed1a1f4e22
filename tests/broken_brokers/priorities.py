"""Brokers that break a promise about priorities."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence

from broken_brokers.sound import Sound, contracts

from qcore import Conf, Delivery


class IgnoresPriorities(Sound):
    caught_by = "test_higher_priority_first"

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        return super().enqueue_with_priority(packages, 0, delay=delay)


class HasFewLevels(Sound):
    caught_by = "test_every_priority_counts"

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        return super().enqueue_with_priority(packages, priority // 50, delay=delay)


class ClaimsAhead(Sound):
    """What it has claimed for later is handed out before what came meanwhile."""

    caught_by = "test_a_late_package_overtakes"

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        self.ahead: list[Delivery] = []

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        self.ahead = self.ahead or super().dequeue(10, wait)
        found, self.ahead = self.ahead[:limit], self.ahead[limit:]
        return found


class HandsOutTheLowestFirst(Sound):
    """Of one claim."""

    caught_by = "test_a_claim_is_filled_from_lower_ones"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return super().dequeue(limit, wait)[::-1]


class PutsNewOnesOfAPriorityFirst(Sound):
    caught_by = "test_order_within_a_priority"

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        ids = super().enqueue_with_priority(packages, priority, delay=delay)
        for id in ids if priority else []:
            self._q.show(id, -float(id))
        return ids


class WaitsForTheHighest(Sound):
    """Even where it is delayed."""

    caught_by = "test_a_delayed_one_does_not_block"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        highest = self._q.order.get(max(self._q.order, default=0))
        if highest and highest[0][0] > time.monotonic():
            return []
        return super().dequeue(limit, wait)


class ForgetsThePriorityAtTheClaim(Sound):
    caught_by = "test_a_lease_keeps_the_priority"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        for one in found:
            id = self.held(one.receipt)
            if priority := self._q.priorities.pop(id, 0):
                self._q.order[priority].clear()
                self._q.show(id, self._q.visible[id])
        return found


class ForgetsThePriorityOfWhatIsGivenBack(Sound):
    caught_by = "test_released_keeps_the_priority"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        for receipt in receipts:
            self._q.priorities.pop(self.held(receipt), None)
        super().release(receipts, delay=delay)


class CountsTheUsualPriorityOnly(Sound):
    caught_by = "test_priorities_are_counted_together"

    def queue_size(self) -> int:
        return super().queue_size() - len(self._q.priorities)


class AcknowledgesTheUsualPriorityOnly(Sound):
    caught_by = "test_an_acknowledged_one_is_gone"

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        usual = [one for one in receipts if self.held(one) not in self._q.priorities]
        super().acknowledge_many(usual)


class TakesTooLargeOnesWithAPriority(Sound):
    caught_by = "test_oversize_is_refused_with_a_priority"

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        if priority:
            self.max_payload = None
        return super().enqueue_with_priority(packages, priority, delay=delay)


globals().update(contracts(globals()))
