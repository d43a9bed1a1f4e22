"""The contracts of a plugin and of a feature, for unique tasks and for limits."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest

from qcore.tasks.calls import build
from qcore.testing import FeatureContract, PluginContract
from qcore_limits import Limit, Unique
from qcore_limits.models import Hold, UniqueKey, WaitingTask


class TestPlugin(PluginContract):
    name = "limits"


class FeatureCase(FeatureContract):
    name = "limits"
    service = "the database of these tests: SQLite"
    _numbers = itertools.count(1)

    def new_task(self, **more):
        # with the same arguments, the second one would not be sent
        args = (next(self._numbers),)
        return build(self.func, args, **{**self.options, **more})

    @pytest.fixture
    def holds(self):
        return lambda task: UniqueKey.objects.filter(task_id=task.id).exists()


@pytest.mark.django_db
class TestUntilDone(FeatureCase):
    options: ClassVar = {"unique": True}
    wrong_options: ClassVar = (
        {"unique": 7},
        {"unique": ""},
        {"unique": "order:{0}"},
        {"unique": "order:{order.id}"},
        {"unique": "order:{"},
        {"unique": {"key": "x", "durin": "waiting"}},
        {"unique": {"key": "x", "during": -1}},
        {"unique": {"key": "x", "on_conflict": "wait"}},
    )


@pytest.mark.django_db
class TestWaiting(FeatureCase):
    options: ClassVar = {"unique": Unique(during="waiting", on_conflict="replace")}


class LimitCase(FeatureCase):
    func = "chores.kind.add"
    wrong_options: ClassVar = (
        {"limits": 7},
        {"limits": "no such name"},
        {"limits": ["a", "a"]},
        {"limits": {"name": "x", "rate": "100"}},
        {"limits": {"name": "x", "concurency": 1}},
    )

    @pytest.fixture
    def holds(self):
        rows = Hold.objects, WaitingTask.objects
        return lambda task: any(its.filter(task_id=task.id).exists() for its in rows)


@pytest.mark.django_db
class TestPlaces(LimitCase):
    options: ClassVar = {"limits": Limit("contract", concurrency=1, key="{left}")}


@pytest.mark.django_db
class TestOneKeyForAll(LimitCase):
    options: ClassVar = {
        "limits": [Limit("a", concurrency=50), Limit("b", rate="9/s", burst=90)]
    }


@pytest.mark.django_db
class TestRates(LimitCase):
    options: ClassVar = {"limits": Limit("contract", rate="1/h", burst=9, key="{left}")}


@pytest.mark.django_db
class TestUniqueAndLimited(LimitCase):
    options: ClassVar = {
        "unique": True,
        "limits": Limit("contract", concurrency=1, rate="1/h", burst=9, key="{left}"),
    }
