"""What the tests of the Rollbar reporter share."""

from __future__ import annotations

import copy
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import rollbar
from rollbar.lib import events

from qcore_rollbar.reporter import RollbarReporter

if TYPE_CHECKING:
    from servers.sink import Sink

#: A token that no log may show.
TOKEN = "t0k3n-of-rollbar"

OpenReporter = Callable[..., RollbarReporter]


@pytest.fixture(autouse=True)
def uninitialised(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end as in a process that has just imported rollbar."""
    monkeypatch.setattr(rollbar, "_initialized", False)
    monkeypatch.setattr(rollbar, "SETTINGS", copy.deepcopy(rollbar.SETTINGS))
    monkeypatch.setattr(rollbar, "_threads", queue.Queue(), raising=False)
    yield
    # each ends with a look at the queue, which is about to be taken back
    for thread in threading.enumerate():
        if "_send_payload" in thread.name:
            thread.join(30)
    events.reset()


@pytest.fixture
def open_reporter(sink: Sink) -> OpenReporter:
    """Make reporters that send to the sink."""

    def make(**options: Any) -> RollbarReporter:
        needed = {"access_token": TOKEN, "endpoint": sink.endpoint, "timeout": 5}
        return RollbarReporter(**{**needed, **options})

    return make
