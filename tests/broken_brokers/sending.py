"""Brokers that break a promise to those who send."""

from __future__ import annotations

from collections.abc import Sequence

from broken_brokers.sound import FAR, Sound, contracts

from qcore import Conf


class TrimsBytes(Sound):
    caught_by = "test_bytes_survive_unchanged"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return super().enqueue_many([p.rstrip() for p in packages], delay=delay)


class CutsLargePackages(Sound):
    caught_by = "test_the_largest_package_survives"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        self.check_size(packages)
        return super().enqueue_many([p[:100_000] for p in packages], delay=delay)


class ReturnsNumbersAsIds(Sound):
    caught_by = "test_ids_are_texts_in_order"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        ids = super().enqueue_many(packages, delay=delay)
        return [int(id) for id in ids]  # type: ignore[misc]


class ReturnsIdsOutOfOrder(Sound):
    caught_by = "test_ids_are_texts_in_order"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        ids = super().enqueue_many(packages, delay=delay)
        return ids[1:] + ids[:1]


class DropsWhatIsOverTheBatch(Sound):
    caught_by = "test_enqueue_many_splits_into_batches"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return super().enqueue_many(packages[: self.max_batch], delay=delay)


class PutsNewOnesFirst(Sound):
    caught_by = "test_order_is_kept"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        ids = super().enqueue_many(packages, delay=delay)
        for id in ids:
            self._q.show(id, -float(id))
        return ids


class CutsQueueNames(Sound):
    caught_by = "test_queues_do_not_mix"

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, (queue or "")[:20])


class IgnoresDelay(Sound):
    caught_by = "test_delay_holds"
    term = FAR

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return super().enqueue_many(packages)


class StoresNothingAsSomething(Sound):
    caught_by = "test_enqueue_many_of_nothing"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return super().enqueue_many(packages or [b""], delay=delay)


class TakesAnySize(Sound):
    caught_by = "test_oversize_is_refused"

    def check_size(self, packages: object) -> None:
        return


class AsksTheServiceForTheLimit(Sound):
    caught_by = "test_oversize_is_refused_before_the_network"
    connects_first = True


class ChecksSizeAfterTheFirst(Sound):
    caught_by = "test_oversize_in_a_batch_stores_none_of_it"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        ids = [super(Sound, self).enqueue_many([p], delay=delay) for p in packages]
        return [id for part in ids for id in part]


globals().update(contracts(globals()))
