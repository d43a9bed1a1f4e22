"""The scheduler of the core keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test import override_settings

from qcore.models import Schedule
from qcore.runtime import current
from qcore.schedules.orm import OrmScheduler
from qcore.testing import SchedulerContract
from qcore.testing.clock import StepClock, stepped_clock

if TYPE_CHECKING:
    from qcore.testing.contracts.schedulers import MakeScheduler

SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}


class TestOrmScheduler(SchedulerContract):
    # SQLite in memory is shared by the threads of a process, and locked as a whole
    crosses_threads = connection.vendor != "sqlite"
    crosses_processes = connection.vendor != "sqlite"

    @pytest.fixture
    def make_scheduler(self, transactional_db: None) -> Iterator[MakeScheduler]:
        with override_settings(Q_CLUSTER=SETTINGS):
            yield lambda: OrmScheduler(current.conf)

    @pytest.fixture
    def step_clock(self) -> Iterator[StepClock]:
        with stepped_clock() as step:
            yield step

    @pytest.fixture
    def spoil(self) -> Callable[[Schedule], None]:
        def spoil(schedule: Schedule) -> None:
            Schedule.objects.filter(pk=schedule.pk).update(args="not (a literal")

        return spoil
