"""Brokers on which a cluster loses or repeats something; the queue is in a database."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import pytest
from broken_kit.common import cases

from qcore import Delivery
from qcore.errors import BrokerUnavailable
from qcore.runtime import current
from qcore.testing import ClusterContract, speed
from qcore.testing.contracts.restarts import RestartService
from qcore_orm.broker import OrmBroker


class Sound(OrmBroker):
    """Has no fault. Each subclass has one, and names the test that must catch it."""

    caught_by: ClassVar[str] = ""

    #: the service is being restarted
    away: ClassVar[bool] = False

    @classmethod
    @contextmanager
    def restart(cls, kill: bool) -> Iterator[None]:
        """Stand for a service that is killed and started again."""
        cls.away = True
        yield
        cls.away = False

    def ping(self) -> bool:
        if self.away:
            raise BrokerUnavailable("nobody answers. Check Q_CLUSTER.")
        return super().ping()


class KeepsWhatIsDone(Sound):
    caught_by = "test_tasks_run_and_leave_nothing"

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        """Forget to."""


class RenewsNoLease(Sound):
    caught_by = "test_a_task_longer_than_its_lease_runs_once"

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        return set()


class GivesNothingBack(Sound):
    caught_by = "test_a_killed_worker_loses_nothing"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        """Forget to."""


class GivesNothingBackAtTheEnd(GivesNothingBack):
    caught_by = "test_a_stopped_cluster_gives_back_what_waits"


class LosesWhatRan(Sound):
    caught_by = "test_a_stopped_cluster_gives_back_what_runs"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        self.acknowledge_many(receipts)


class HasNoLease(Sound):
    caught_by = "test_a_killed_dispatcher_loses_nothing"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        self.acknowledge_many([one.receipt for one in found])
        return found


class ForgetsInAKill(Sound):
    caught_by = "test_a_killed_service_loses_nothing"

    @classmethod
    @contextmanager
    def restart(cls, kill: bool) -> Iterator[None]:
        with super().restart(kill):
            current.broker().delete_queue()
            yield


class KeepsNoDelay(Sound):
    caught_by = "test_tasks_wait_as_they_are_told"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        """Give back at once."""
        super().release(receipts)


class IsNeverAway(Sound):
    """Its author's ``restart_service`` does nothing."""

    caught_by = "test_a_killed_service_loses_nothing"

    @classmethod
    @contextmanager
    def restart(cls, kill: bool) -> Iterator[None]:
        yield


class Case(ClusterContract):
    """The contract with short times, on one of these brokers."""

    kind: ClassVar[type[Sound]]
    lease = 1.5

    @property
    def patience(self) -> float:  # type: ignore[override]
        """What a broken broker has lost does not come, however long one waits."""
        return 20.0 if self.kind is Sound else 1.5

    @property
    def outlast(self) -> float:  # type: ignore[override]
        """The other cluster must begin before the task ends, on a busy machine too."""
        return 1.6 if self.kind is Sound else 4.0

    @pytest.fixture(autouse=True)
    def _begun_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a broken broker does too late, it does each time."""
        if self.kind is not Sound:
            monkeypatch.setattr(speed, "TRIES", 1)

    @pytest.fixture
    def q_cluster(self) -> dict[str, object]:
        path = f"broken_kit.live.{self.kind.__name__}"
        return {"broker_class": path, "orm": "default"}

    @pytest.fixture
    def restart_service(self) -> RestartService:
        return self.kind.restart


globals().update(cases(globals(), Sound, Case))
