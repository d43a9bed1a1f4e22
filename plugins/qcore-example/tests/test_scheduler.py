"""The scheduler keeps its contract."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from qcore import Conf
from qcore.errors import ConfigError, StoreUnavailable
from qcore.runtime import current
from qcore.testing import MakeScheduler, SchedulerContract
from qcore.testing.clock import StepClock, stepped_clock
from qcore.testing.outages import Outage, moved_away
from qcore.testing.project import configure
from qcore_example import qcore_settings
from qcore_example.scheduler import ExampleScheduler

configure()


def make(path: object) -> ExampleScheduler:
    options = {"name": "tests", "example_scheduler": {"path": path}}
    return ExampleScheduler(Conf.from_dict(options, settings=qcore_settings()))


class TestScheduler(SchedulerContract):
    crosses_processes = True

    @pytest.fixture
    def make_scheduler(self, tmp_path: Path) -> Iterator[MakeScheduler]:
        # its tasks go to a queue in the memory of this process
        with override_settings(Q_CLUSTER={"name": "tests", "memory": {}}):
            current.broker().purge_queue()
            yield lambda: make(str(tmp_path))

    @pytest.fixture
    def step_clock(self) -> Iterator[StepClock]:
        with stepped_clock() as step:
            yield step

    @pytest.fixture
    def spoil(self, tmp_path: Path) -> Callable[[int], None]:
        def spoil(id: int) -> None:
            database = sqlite3.connect(tmp_path / "schedules.sqlite3")
            with database:
                set_ = "UPDATE schedules SET entry = '{}' WHERE id = ?"
                database.execute(set_, [id])
            database.close()

        return spoil

    @pytest.fixture
    def outage(self, tmp_path: Path) -> Outage:
        return lambda: moved_away(tmp_path)


def test_a_folder_that_is_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="not-mounted"):
        make(str(tmp_path / "not-mounted")).tick()


@pytest.mark.parametrize("path", [None, 5, ""])
def test_the_path_must_be_given(path: object) -> None:
    with pytest.raises(ConfigError, match="'path'"):
        make(path)
