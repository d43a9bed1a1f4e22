"""What is refused where it is written, and what the checks say."""

from __future__ import annotations

import pytest
from django.test import override_settings

from qcore.runtime import current
from qcore_limits import Unique, qcore_sweep
from qcore_limits.checks import check


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "a{b"},
        {"key": 5},
        {"during": "always"},
        {"during": True},
        {"during": float("inf")},
        {"during": 10**10},
        {"on_conflict": None},
    ],
    ids=str,
)
def test_what_nobody_can_have_meant_is_refused_where_it_is_written(wrong):
    with pytest.raises(ValueError, match=r"key|during|on_conflict"):
        Unique(**wrong)


def test_the_app_must_be_installed():
    with override_settings(INSTALLED_APPS=["qcore"]):
        (warning,) = check(current.conf)
    assert warning.id == "qcore_limits.W001"
    assert "'unique' or 'limits'" in warning.msg
    assert check(current.conf) == []


def test_without_the_app_nothing_is_swept():
    """It may be installed for another project; its tables are not asked for here."""
    with override_settings(INSTALLED_APPS=["qcore"]):
        assert qcore_sweep(0.0) == 60.0


def test_a_project_whose_ledger_is_nowhere(monkeypatch):
    monkeypatch.setattr(type(current), "ledger", None)
    (warning,) = check(current.conf)
    assert warning.id == "qcore_limits.W002"
