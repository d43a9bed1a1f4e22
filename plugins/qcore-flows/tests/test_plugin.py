"""What the checks say."""

from __future__ import annotations

from django.test import override_settings

from qcore.runtime import current
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
