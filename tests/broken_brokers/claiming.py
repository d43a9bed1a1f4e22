"""Brokers that break a promise to those who claim."""

from __future__ import annotations

import time

from broken_brokers.sound import Sound, contracts

from qcore import Delivery


class AlwaysWaits(Sound):
    caught_by = "test_empty_queue_gives_nothing"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return super().dequeue(limit, max(wait, 1.2))


class Overstays(Sound):
    caught_by = "test_wait_is_respected"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return super().dequeue(limit, wait + 1.2 if wait else 0)


class DoesNotWait(Sound):
    caught_by = "test_blocking_waits"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return super().dequeue(limit)


class SleepsThroughArrivals(Sound):
    caught_by = "test_blocking_wakes"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        if found := super().dequeue(limit):
            return found
        time.sleep(wait)
        return super().dequeue(limit)


class ExceedsLimit(Sound):
    caught_by = "test_limit_is_kept"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return super().dequeue(limit + 1, wait)


class DropsWhatIsOverTheLimit(Sound):
    caught_by = "test_limit_is_kept"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit + 1, wait)
        self.acknowledge_many([one.receipt for one in found[limit:]])
        return found[:limit]


class RefusesLargeLimits(Sound):
    caught_by = "test_limit_over_the_batch"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        if limit > self.max_batch:
            raise ValueError(f"limit must be at most {self.max_batch}")
        return super().dequeue(limit, wait)


class ClaimsOneByOne(Sound):
    caught_by = "test_bulk_claims_several"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return super().dequeue(1, wait)


class CountsFromZero(Sound):
    caught_by = "test_first_attempt_is_one"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        return [part for one in found for part in self.altered([one], attempt=0)]


class UsesThePackageAsReceipt(Sound):
    caught_by = "test_receipts_are_distinct_keys"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return self.altered(super().dequeue(limit, wait), receipt=("package", 1))


class TellsWallClock(Sound):
    caught_by = "test_lease_end_is_not_too_late"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        return self.altered(found, lease_end=time.time() + self.lease)


class PromisesTooLongALease(Sound):
    caught_by = "test_lease_end_is_not_too_late"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        return self.altered(found, lease_end=time.monotonic() + self.lease + 1)


class SendsEachConsumerACopy(Sound):
    """What publish and subscribe would do."""

    caught_by = "test_two_instances_share"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        self.seen: set[str] = getattr(self, "seen", set())
        new = [id for id in self._q.packages if id not in self.seen][:limit]
        self.seen.update(new)
        end = time.monotonic() + self.lease
        return [Delivery((id, 1), self._q.packages[id], 1, end) for id in new]


class LooksThenClaims(Sound):
    """Two steps without a lock: what another claims in between is delivered twice."""

    caught_by = "test_threads_race"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        now = time.monotonic()
        seen = list(self._q.visible.items())
        due = [(id, self._q.packages.get(id)) for id, at in seen if at <= now][:limit]
        time.sleep(0.002)
        self._q.visible.update(dict.fromkeys((id for id, _ in due), now + self.lease))
        return [Delivery((id, 1), p, 1, now + self.lease) for id, p in due if p]


class LosesOneInFifty(Sound):
    caught_by = "test_threads_race"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        return [one for one in found if int(self.held(one.receipt)) % 50]


globals().update(contracts(globals()))
