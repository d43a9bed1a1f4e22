"""The view of Django."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from prometheus_client.parser import text_string_to_metric_families

from qcore.runtime import current
from qcore_prometheus import views


@pytest.fixture
def ask(settings, a_snapshot, monkeypatch):
    """Ask the view: ``ask(token, Authorization=...)``."""
    monkeypatch.setattr(views, "running", lambda: [a_snapshot()])
    monkeypatch.setattr(views.gauges, "_counts", lambda queue: (1, None, None))

    def get(token=None, method="get", **headers):
        options = {"prometheus": {"token": token}}
        monkeypatch.setattr(type(current.conf), "options", options, raising=False)
        request = getattr(RequestFactory(), method)("/metrics/", headers=headers)
        return views.metrics(request)

    return get


def test_without_a_token_nobody_is_answered(ask):
    answer = ask(Authorization="Bearer None")
    assert answer.status_code == 403
    assert b"Q_CLUSTER['prometheus']['token']" in answer.content


@pytest.mark.parametrize(
    "word", ["", "Bearer wrong", "secret", "Basic secret", "Bearer ü"]
)
def test_a_wrong_token_is_refused(ask, word):
    answer = ask("secret", Authorization=word)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"


def test_the_right_token_reads_all_clusters(ask):
    answer = ask("secret", Authorization="Bearer secret")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    text = answer.content.decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"qcore_workers", "qcore_slots", "qcore_queue_waiting"} <= names
    assert "qcore_attempts" not in names, "only a dispatcher knows them"


def test_it_is_only_read(ask):
    assert ask("secret", method="post").status_code == 405
