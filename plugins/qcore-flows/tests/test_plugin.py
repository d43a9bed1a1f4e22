"""What the checks say."""

from __future__ import annotations

import pytest
from django.test import override_settings

from qcore.errors import EnqueueError
from qcore.runtime import current
from qcore.tasks import async_task
from qcore_flows.checks import check


def test_the_app_must_be_installed():
    with override_settings(INSTALLED_APPS=["qcore"]):
        (warning,) = check()
    assert warning.id == "qcore_flows.W001"
    assert check() == []


def test_a_project_whose_ledger_is_nowhere(monkeypatch):
    monkeypatch.setattr(type(current), "ledger", None)
    (warning,) = check()
    assert warning.id == "qcore_flows.W002"


@pytest.mark.django_db
@pytest.mark.parametrize("options", [{"durable": True}, {"flow": "0" * 32}])
def test_without_the_app_its_options_are_refused_and_other_tasks_are_sent(options):
    with override_settings(INSTALLED_APPS=["qcore", "qcore_orm"]):
        with pytest.raises(EnqueueError, match=r"'qcore_flows' in INSTALLED_APPS"):
            async_task("chores.kind.add", 1, q_options=options)
        async_task("chores.kind.add", 1)
