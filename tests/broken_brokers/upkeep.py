"""Brokers that break a promise about acknowledgements, upkeep, outages or flags."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from broken_brokers.sound import CANARY, Sound, contracts

from qcore import Delivery
from qcore.errors import BrokerError, BrokerUnavailable
from qcore.findings import Finding, warning


class AcknowledgesNothing(Sound):
    caught_by = "test_acknowledged_never_returns"

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        return


class RetriesTheFailed(Sound):
    caught_by = "test_failed_never_returns"

    def fail(self, receipt: Hashable) -> None:
        self.release([receipt])


class AcknowledgesOneBatch(Sound):
    caught_by = "test_acknowledge_many_in_batches"

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        super().acknowledge_many(receipts[: self.max_batch])


class WantsOneAcknowledgement(Sound):
    caught_by = "test_acknowledging_twice_is_harmless"

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        for receipt in receipts:
            if not self._q.drop(self.held(receipt)):
                raise BrokerError(f"no such receipt: {receipt}")


class IgnoresLateAcknowledgements(Sound):
    caught_by = "test_late_acknowledgement_counts"

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        super().acknowledge_many([one for one in receipts if self._holds(one)])


class WantsItsOwnReceipts(Sound):
    caught_by = "test_acknowledgement_by_another_instance"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        self.own: set[Hashable] = getattr(self, "own", set())
        self.own |= {one.receipt for one in found}
        return found

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        own: set[Hashable] = getattr(self, "own", set())
        super().acknowledge_many([one for one in receipts if one in own])


# -- upkeep --------------------------------------------------------------------
class CountsTheClaimed(Sound):
    caught_by = "test_counts"

    def queue_size(self) -> int:
        return super().queue_size() + super().lock_size()


class AgesTheClaimed(Sound):
    caught_by = "test_oldest_waiting"

    def oldest_waiting(self) -> float | None:
        oldest = min(self._q.visible.values(), default=None)
        return None if oldest is None else time.monotonic() - oldest


class TellsTheTimeInMilliseconds(Sound):
    caught_by = "test_clock"

    def clock(self) -> float:
        return time.time() * 1000


class TellsItsPassword(Sound):
    caught_by = "test_diagnose"

    def diagnose(self) -> list[Finding]:
        return [warning(f"the password is {CANARY}", "Choose another one.")]


class ForgetsTheDelayed(Sound):
    caught_by = "test_delayed_count_as_waiting"

    def queue_size(self) -> int:
        return sum(at <= time.monotonic() for at in self._q.visible.values())


class CountsTheReleasedAsClaimed(Sound):
    caught_by = "test_released_count_as_waiting"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        super().release(receipts, delay=delay)
        self._q.claimed.update(self.held(receipt) for receipt in receipts)

    def lock_size(self) -> int:
        return len(self._q.claimed)


class AlwaysHasDeleted(Sound):
    caught_by = "test_delete"

    def delete(self, id: str) -> bool:
        super().delete(id)
        return True


class DeletesOnlyTheDue(Sound):
    caught_by = "test_delete_of_the_delayed"

    def delete(self, id: str) -> bool:
        due = self._q.visible.get(id, 0) <= time.monotonic()
        return due and super().delete(id)


class CannotPurgeNothing(Sound):
    caught_by = "test_purging_nothing"

    def purge_queue(self) -> None:
        if not self._q.packages:
            raise BrokerError("no such queue")
        super().purge_queue()


class AnswersPong(Sound):
    caught_by = "test_ping"

    def ping(self) -> bool:
        return "PONG"  # type: ignore[return-value]


class PurgesOnlyTheWaiting(Sound):
    caught_by = "test_emptying"

    def purge_queue(self) -> None:
        for id in set(self._q.packages) - self._q.claimed:
            self._q.drop(id)


class PurgesNeighbours(Sound):
    caught_by = "test_emptying"

    def purge_queue(self) -> None:
        for name, neighbour in self._queues.items():
            if name.startswith(self.queue):
                for id in list(neighbour.packages):
                    neighbour.drop(id)


class CannotBeReopened(Sound):
    caught_by = "test_closing_twice"

    def close(self) -> None:
        self._q = None  # type: ignore[assignment]


class ShowsThePassword(Sound):
    caught_by = "test_info"

    def info(self) -> str:
        return f"memory at memory://user:{CANARY}@localhost"


class TakesTypos(Sound):
    caught_by = "test_unknown_option_is_refused"

    def check_options(self, options: dict[str, Any]) -> None:
        return


class HasItsOwnLease(Sound):
    caught_by = "test_lease_is_the_setting"
    lease = property(lambda self: 30.0, lambda self, value: None)


class FindsStatsByPattern(Sound):
    caught_by = "test_stats_by_prefix"

    def get_stats(self, prefix: str) -> list[bytes]:
        return [
            value
            for key, (_, value) in self._stats.items()
            if fnmatch.fnmatchcase(key, f"{prefix}*")
        ]


class KeepsStats(Sound):
    caught_by = "test_stats_expire"

    def set_stat(self, key: str, value: bytes, ttl: float) -> None:
        super().set_stat(key, value, 3600)


# -- outages -------------------------------------------------------------------
class LetsTheDriversErrorOut(Sound):
    caught_by = "test_dead_service"
    outage: ClassVar[Exception] = ConnectionError("refused. Check the server.")


class GivesNoAdvice(Sound):
    caught_by = "test_dead_service"
    outage: ClassVar[Exception] = BrokerUnavailable("connection refused")


class SaysGoodbyeToTheDead(Sound):
    caught_by = "test_dead_service_can_be_closed"
    says_goodbye = True


class TellsThePassword(Sound):
    caught_by = "test_dead_service"
    outage: ClassVar[Exception] = BrokerUnavailable(f"Check memory://:{CANARY}@host")


class TellsThePasswordInTheCause(Sound):
    caught_by = "test_dead_service"
    outage: ClassVar[Exception] = BrokerUnavailable("nobody answers. Check the server.")
    outage.__cause__ = ConnectionError(f"memory://:{CANARY}@host")


class StaysBroken(Sound):
    """Keeps its dropped connection for ever."""

    caught_by = "test_restart_heals"
    _service = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connected_to = self._service

    @classmethod
    def restart(cls) -> None:
        cls._service += 1

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        if self._connected_to != self._service:
            raise BrokerUnavailable("broken pipe")
        return super().enqueue_many(packages, delay=delay)


class IsNotDurable(Sound):
    caught_by = "test_durable_survives_restart"

    @classmethod
    def restart(cls) -> None:
        for held in cls._queues.values():
            for id in list(held.packages):
                held.drop(id)


class ForgetsClaimsOnRestart(Sound):
    caught_by = "test_durable_survives_restart"

    @classmethod
    def restart(cls) -> None:
        for held in cls._queues.values():
            held.attempts = dict.fromkeys(held.attempts, 0)


class ForgetsAcknowledgementsOnRestart(Sound):
    caught_by = "test_acknowledgement_survives_restart"
    _ever: ClassVar[list[tuple[str, bytes]]] = []

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        self._ever.extend((self.queue, package) for package in packages)
        return super().enqueue_many(packages, delay=delay)

    @classmethod
    def restart(cls) -> None:
        for name, package in cls._ever:
            cls._queues[name].packages["1"] = package
            cls._queues[name].attempts["1"] = 0
            cls._queues[name].show("1", 0.0)


class ForgetsReceiptsOnRestart(Sound):
    """Its receipts are numbers of a process, such as a place in its memory."""

    caught_by = "test_receipts_outlive_a_restart"

    @classmethod
    def restart(cls) -> None:
        for held in cls._queues.values():
            for id in list(held.packages):
                package, attempt = held.packages[id], held.attempts.get(id, 0)
                at = held.visible.get(id, 0.0)
                held.drop(id)
                held.packages[f"{id} anew"] = package
                held.attempts[f"{id} anew"] = attempt
                held.show(f"{id} anew", at)


class IsNeverAway(Sound):
    """Its author's ``restart_service`` does nothing."""

    caught_by = "test_restart_heals"

    @classmethod
    @contextmanager
    def restarting(cls) -> Iterator[None]:
        yield


# -- flags ---------------------------------------------------------------------
class ReleasesInSilence(Sound):
    caught_by = "test_off_means_refused"
    supports_release = False


class DelaysInSilence(Sound):
    caught_by = "test_off_means_refused"
    supports_delay = False


class CountsClaimedInSilence(Sound):
    caught_by = "test_off_means_refused"
    counts_claimed = False


class CarriesStatsInSilence(Sound):
    caught_by = "test_off_means_refused"
    supports_stats = False


class HasBulkWithoutTheFlag(Sound):
    caught_by = "test_flags_agree"
    supports_bulk = False


globals().update(contracts(globals()))
