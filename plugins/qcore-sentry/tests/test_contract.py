"""The contracts of a plugin and of an error reporter, for Sentry."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import pytest

from qcore.testing import ErrorReporterContract, PluginContract
from qcore.testing.contracts.reporters import DESCRIBED

if TYPE_CHECKING:
    from servers.sink import Sink

    from qcore_sentry.reporter import SentryReporter

    OpenReporter = Callable[..., SentryReporter]


class TestPlugin(PluginContract):
    name = "sentry"
    drivers = ("sentry_sdk",)


class TestSentry(ErrorReporterContract):
    misspelt = ({"dns": "https://k3y-0f-sentry@host/1"}, "'dns' - did you mean 'dsn'")
    secret = "k3y-0f-sentry"
    service = "a server of these tests that takes what Sentry's client sends"
    shows = DESCRIBED
    shows_arguments = True

    @pytest.fixture
    def make_reporter(self, open_reporter: OpenReporter) -> OpenReporter:
        return open_reporter

    @pytest.fixture
    def arrived(self, sink: Sink) -> Callable[[], list[str]]:
        return lambda: [json.dumps(event) for event in sink.events]

    @pytest.fixture
    def group_of(self) -> Callable[[str], Hashable]:
        def group(text: str) -> Hashable:
            event = json.loads(text)
            # {{ default }} stands for the stack, which the exception's place is part of
            parts = [*event["fingerprint"]]
            for value in event.get("exception", {}).get("values", ()):
                frames = value["stacktrace"]["frames"]
                parts += [value["type"], *((f["module"], f["lineno"]) for f in frames)]
            return tuple(parts)

        return group

    @pytest.fixture
    def disturb(self, sink: Sink) -> Callable[[str], None]:
        return sink.disturb

    @pytest.fixture
    def dead_reporter(self, open_reporter: OpenReporter) -> SentryReporter:
        return open_reporter(dsn="http://k3y-0f-sentry@127.0.0.1:9/42")
