"""Brokers that break a promise about leases."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence

from broken_brokers.sound import FAR, Sound, contracts

from qcore import Delivery


class HidesNothing(Sound):
    caught_by = "test_claimed_is_hidden"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        for one in found:
            self._q.show(self.held(one.receipt), 0.0)
        return found


class NeverRedelivers(Sound):
    caught_by = "test_unacknowledged_returns"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        for one in found:
            self._q.show(self.held(one.receipt), time.monotonic() + 3600)
        return found


class AlwaysTheFirstAttempt(Sound):
    caught_by = "test_unacknowledged_returns"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return self.altered(super().dequeue(limit, wait), attempt=1)


class AcknowledgesAll(Sound):
    caught_by = "test_only_the_unacknowledged_return"

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        self.purge_queue()


class LosesOnRelease(Sound):
    caught_by = "test_release_returns_at_once"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        self.acknowledge_many(receipts)


class ReleasesNothing(Sound):
    caught_by = "test_release_returns_at_once"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        return


class ReleasesWithoutDelay(Sound):
    caught_by = "test_release_with_delay"
    term = FAR

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        super().release(receipts)


class RevivesTheAcknowledged(Sound):
    caught_by = "test_release_of_the_acknowledged"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        for receipt in receipts:
            self._q.packages.setdefault(self.held(receipt), b"from a copy")
            self._q.attempts.setdefault(self.held(receipt), 1)
            self._q.show(self.held(receipt), 0.0)


class ReleasesForOthers(Sound):
    caught_by = "test_stale_release_disturbs_nobody"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        for receipt in receipts:
            self._q.show(self.held(receipt), time.monotonic() + delay)


class ExtendsNothing(Sound):
    caught_by = "test_extend_prolongs"

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        return {receipt for receipt in receipts if not self._holds(receipt)}


class ExtendsForEver(Sound):
    caught_by = "test_extend_is_from_now"

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        for receipt in receipts:
            self._q.show(self.held(receipt), time.monotonic() + 3600)
        return set()


class ReportsNoLoss(Sound):
    caught_by = "test_extend_reports_the_acknowledged"

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        super().extend(receipts)
        return set()


class ReportsAllLost(Sound):
    caught_by = "test_extend_reports_the_acknowledged"

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        super().extend(receipts)
        return set(receipts)


class ClaimsToHoldTheExpired(Sound):
    caught_by = "test_extend_reports_the_expired"

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        lost = super().extend(receipts)
        return {
            receipt for receipt in lost if self.held(receipt) not in self._q.packages
        }


class ExtendsForOthers(Sound):
    caught_by = "test_stale_extend_disturbs_nobody"

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        for receipt in receipts:
            self._q.show(self.held(receipt), time.monotonic() + self.lease)
        return set()


class LosesWhatIsReleasedTwice(Sound):
    caught_by = "test_any_history_agrees_with_the_model"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        super().release(receipts, delay=delay)
        for receipt in receipts:
            id = self.held(receipt)
            if self._q.attempts.get(id, 0) > 1:
                self._q.drop(id)


globals().update(contracts(globals()))
