"""The scheduler of the core keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import override_settings

from qcore.models import Schedule
from qcore.runtime import current
from qcore.schedules.orm import OrmScheduler
from qcore.testing import SchedulerContract

if TYPE_CHECKING:
    from qcore.testing.contracts.schedulers import MakeScheduler, Sent

SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}


class TestOrmScheduler(SchedulerContract):
    # SQLite in memory is shared by the threads of a process, and locked as a whole
    crosses_threads = connection.vendor != "sqlite"

    @pytest.fixture
    def make_scheduler(self, transactional_db: None) -> Iterator[MakeScheduler]:
        with override_settings(Q_CLUSTER=SETTINGS):
            yield lambda: OrmScheduler(current.conf)

    @pytest.fixture
    def sent(self) -> Sent:
        def sent() -> list[Any]:
            broker = current.broker()
            found = broker.dequeue(1000)
            broker.acknowledge_many([one.receipt for one in found])
            return [current.signer.verify(one.package, broker.queue) for one in found]

        return sent

    @pytest.fixture
    def spoil(self) -> Callable[[Schedule], None]:
        def spoil(schedule: Schedule) -> None:
            Schedule.objects.filter(pk=schedule.pk).update(args="not (a literal")

        return spoil
