"""The contract of a feature, for durable tasks, and for tasks that they spawn."""

from __future__ import annotations

from typing import ClassVar

import pytest

from qcore.envelope import new_id
from qcore.testing import FeatureContract
from qcore_flows.models import Run, Spawned

#: The run that has spawned the tasks of a class; its row is made anew in each test.
RUN = new_id()


@pytest.mark.django_db
class TestDurable(FeatureContract):
    name = "flows"
    service = "the database of these tests: SQLite"
    options: ClassVar = {"durable": True, "version": 2, "accepts": [1]}
    wrong_options: ClassVar = (
        {"durable": "yes"},
        {"durable": 1},
        {"durable": True, "version": 0},
        {"durable": True, "version": "2"},
        {"durable": True, "accepts": 1},
        {"durable": True, "accepts": ["1"]},
    )


@pytest.mark.django_db
class TestSpawned(FeatureContract):
    name = "flows"
    service = "the database of these tests: SQLite"
    options: ClassVar = {"spawned_by": RUN}
    wrong_options: ClassVar = (
        {"spawned_by": 7},
        {"spawned_by": True},
        {"spawned_by": "x" * 32},
        {"spawned_by": ""},
    )

    @pytest.fixture(autouse=True)
    def run(self, db):
        Run.objects.create(task_id=RUN, func="x", state="suspended", created=0.0)

    def send(self, *tasks):
        """Have the run spawn the tasks, too, and wait for them."""
        rows = [
            Spawned(task_id=one.id, run_id=RUN, waited=RUN, touched=1e12)
            for one in tasks
            if one.options.plugins
        ]
        Spawned.objects.bulk_create(rows, ignore_conflicts=True)
        return super().send(*tasks)

    @pytest.fixture
    def holds(self):
        def waits_for(task):
            return Spawned.objects.filter(waited=RUN).exists()

        return waits_for
