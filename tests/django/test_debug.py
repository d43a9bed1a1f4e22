"""What Django's error pages and error mails show of a project's secrets."""

from __future__ import annotations

import secrets
import sys

import pytest
from django.conf import settings
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter, get_default_exception_reporter_filter

from qcore.error_pages import MaskingFilter, mask_error_pages
from qcore.errors import BrokerError
from qcore.runtime import current
from qcore.tasks import async_task


@pytest.fixture
def canary():
    return secrets.token_hex(8)


@pytest.fixture
def pages():
    """Send a task that cannot be sent, and return what Django shows to developers."""

    def pages():
        try:
            async_task("os.getpid")
        except BrokerError:
            request = RequestFactory().get("/")
            reporter = ExceptionReporter(request, *sys.exc_info())
            return reporter.get_traceback_html() + reporter.get_traceback_text()
        raise AssertionError("it was sent")

    yield pages
    current.reset()


@pytest.mark.live
@pytest.mark.fault("I1")
@pytest.mark.fault("I5")
@pytest.mark.parametrize("how", ["refused", "wrong password"])
def test_no_password_is_on_an_error_page(request, pages, canary, how):
    pytest.importorskip("qcore_redis")
    port = 1
    if how == "wrong password":
        port = request.getfixturevalue("redis_server").port
    url = f"redis://shop:{canary}@127.0.0.1:{port}/0"
    with override_settings(DEBUG=True, Q_CLUSTER={"name": "shop", "redis": url}):
        current.reset()
        shown = pages()
    assert f"redis://shop:***@127.0.0.1:{port}/0" in shown
    assert canary not in shown


@pytest.mark.fault("I5")
def test_every_secret_of_the_settings_is_masked(canary):
    options = {
        "mongo": {"host": f"mongodb://u:{canary}@h/db"},
        "error_reporter": {"sentry": {"dsn": f"https://{canary}@example.org/1"}},
        "signing_keys": [canary],
        "workers": 2,
    }
    with override_settings(Q_CLUSTER=options):
        shown = get_default_exception_reporter_filter().get_safe_settings()
    assert shown["Q_CLUSTER"]["mongo"] == {"host": "mongodb://u:***@h/db"}
    assert shown["Q_CLUSTER"]["workers"] == 2
    assert canary not in repr(shown)


def test_a_filter_of_the_project_is_left_alone():
    assert (
        settings.DEFAULT_EXCEPTION_REPORTER_FILTER == "qcore.error_pages.MaskingFilter"
    )
    with override_settings(DEFAULT_EXCEPTION_REPORTER_FILTER="shop.Filter"):
        mask_error_pages()
        assert settings.DEFAULT_EXCEPTION_REPORTER_FILTER == "shop.Filter"
    with override_settings():
        del settings.Q_CLUSTER
        assert "Q_CLUSTER" not in MaskingFilter().get_safe_settings()
