"""What the tests of the Sentry reporter share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk

from qcore_sentry.reporter import SentryReporter

if TYPE_CHECKING:
    from servers.sink import Sink

#: Without what sentry_sdk would do to the process of the tests for good.
QUIET = {"default_integrations": False, "auto_enabling_integrations": False}

OpenReporter = Callable[..., SentryReporter]


@pytest.fixture(autouse=True)
def uninitialised(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end without a client, whatever the environment says."""
    monkeypatch.delenv("SENTRY_DSN", raising=False)
    monkeypatch.setenv("SENTRY_RELEASE", "of tests")  # else the client asks git for it
    monkeypatch.setattr(SentryReporter, "_made", None)
    yield
    sentry_sdk.get_client().close(timeout=0)
    # what is left for the sink, which is closed, is told in the log, and not of a later test
    for thread in threading.enumerate():
        if thread.name == "sentry-sdk.BackgroundWorker":
            thread.join(60)
    sentry_sdk.get_global_scope().set_client(None)
    # a transaction of a test gives the scopes its name, and they are those of the process
    sentry_sdk.get_isolation_scope().clear()
    sentry_sdk.get_current_scope().clear()


@pytest.fixture
def open_reporter(sink: Sink) -> OpenReporter:
    """Make reporters that send to the sink."""

    def make(**options: Any) -> SentryReporter:
        return SentryReporter(**{"dsn": sink.dsn, **QUIET, **options})

    return make
