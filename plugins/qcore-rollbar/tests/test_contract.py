"""The contracts of a plugin and of an error reporter, for Rollbar."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING

import pytest
import rollbar

from qcore.testing import ErrorReporterContract, PluginContract
from qcore.testing.contracts.reporters import DESCRIBED

if TYPE_CHECKING:
    from servers.sink import Sink

    from qcore_rollbar.reporter import RollbarReporter

    OpenReporter = Callable[..., RollbarReporter]

SECRET = "t0k3n-of-rollbar"


class TestPlugin(PluginContract):
    name = "rollbar"
    drivers = ("rollbar",)


class TestRollbar(ErrorReporterContract):
    misspelt = ({"access_token": "", "acces_token": SECRET}, "'access_token'")
    secret = SECRET
    service = "a server of these tests that takes what Rollbar's client sends"
    shows = DESCRIBED
    shows_arguments = True

    @pytest.fixture
    def make_reporter(self, open_reporter: OpenReporter) -> OpenReporter:
        return open_reporter

    @pytest.fixture(autouse=True)
    def end_in_order(self, sink: Sink) -> Iterator[None]:
        """Wait for rollbar's threads; they log what they are refused."""
        yield
        sink.open.set()
        if rollbar._initialized:
            rollbar.wait()

    @pytest.fixture
    def arrived(self, sink: Sink) -> Callable[[], list[str]]:
        return lambda: [json.dumps(item) for item in sink.items]

    @pytest.fixture
    def group_of(self) -> Callable[[str], Hashable]:
        def group(text: str) -> Hashable:
            item = json.loads(text)
            if "fingerprint" in item:
                return str(item["fingerprint"])
            # Rollbar's own rule: the exception's class, and files and methods
            trace = item["body"]["trace"]
            frames = [(f["filename"], f["method"]) for f in trace["frames"]]
            return (trace["exception"]["class"], *frames)

        return group

    @pytest.fixture
    def disturb(self, sink: Sink) -> Callable[[str], None]:
        return sink.disturb

    @pytest.fixture
    def dead_reporter(self, open_reporter: OpenReporter) -> RollbarReporter:
        return open_reporter(endpoint="http://127.0.0.1:9/api/1/")
