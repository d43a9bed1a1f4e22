"""The models of a plugin whose app a project has not installed: what to do is told."""

from __future__ import annotations

import sys

import pytest
from django.test import override_settings

import qcore_flows
import qcore_limits
from qcore.errors import ConfigError


@pytest.mark.parametrize(
    "name", ["qcore_orm", "qcore_limits", "qcore_flows", "qcore_dashboard"]
)
def test_models_of_an_app_that_is_not_installed(name, monkeypatch):
    package = __import__(f"{name}.models").models
    monkeypatch.delitem(sys.modules, f"{name}.models")
    monkeypatch.setattr(sys.modules[name], "models", package)  # put back afterwards
    with (
        override_settings(INSTALLED_APPS=["django.contrib.contenttypes", "qcore"]),
        pytest.raises(ConfigError) as raised,
    ):
        __import__(f"{name}.models")
    assert str(raised.value) == (
        f"{name.replace('_', '-')} needs its tables, and {name!r} is not in INSTALLED_APPS."
        " Add it and run: python manage.py migrate"
    )


def test_what_has_no_tables_is_there_without_the_app():
    with override_settings(INSTALLED_APPS=["qcore"]):
        assert qcore_limits.Limit("x", concurrency=1).pace is None
        assert issubclass(qcore_flows.StepError, Exception)
