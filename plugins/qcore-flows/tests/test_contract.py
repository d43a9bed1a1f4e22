"""The contracts of a plugin and of a feature, for tasks that are members of batches."""

from __future__ import annotations

from typing import ClassVar

import pytest

from qcore.envelope import new_id
from qcore.testing import FeatureContract, PluginContract
from qcore_flows.models import FlowRow, MemberRow

#: One batch for the tests of a class; its row is made anew in each.
ID = new_id()


class TestPlugin(PluginContract):
    name = "flows"


@pytest.mark.django_db
class TestBatch(FeatureContract):
    name = "flows"
    service = "the database of these tests: SQLite"
    options: ClassVar = {"flow": ID}
    wrong_options: ClassVar = (
        {"flow": 7},
        {"flow": ""},
        {"flow": "x" * 32},
        {"flow": {"flow_id": ID, "take": True}},
    )

    @pytest.fixture(autouse=True)
    def batch(self, db):
        FlowRow.objects.create(id=ID, kind="batch", name="", created=0, touched=1e12)

    @pytest.fixture
    def holds(self):
        def waits_for(task):
            return MemberRow.objects.filter(task_id=task.id, outcome=None).exists()

        return waits_for
