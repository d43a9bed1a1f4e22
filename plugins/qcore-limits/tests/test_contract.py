"""The contracts of a plugin and of a feature, for unique tasks."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest

from qcore.tasks.calls import build
from qcore.testing import FeatureContract, PluginContract
from qcore_limits import Unique
from qcore_limits.models import UniqueKey


class TestPlugin(PluginContract):
    name = "limits"


class FeatureCase(FeatureContract):
    name = "limits"
    service = "the database of these tests: SQLite"
    _numbers = itertools.count(1)

    def new_task(self, **more):
        # with the same arguments, the second one would not be sent
        return build(self.func, (next(self._numbers),), **{**self.options, **more})

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
