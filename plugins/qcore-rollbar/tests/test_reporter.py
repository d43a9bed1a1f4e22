"""What is peculiar to Rollbar: who initialises it, its threads, its log, its options."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import rollbar
from support.fake_services import FakeServices

from qcore.errors import ConfigError, TaskError
from qcore.reporters.base import Report
from qcore.runtime import current
from qcore.tasks.execute import _timed
from qcore_rollbar.reporter import MAX_UNDER_WAY, RollbarReporter

if TYPE_CHECKING:
    from pytest_django import Settings
    from servers.sink import Sink

    OpenReporter = Callable[..., RollbarReporter]

CANARY = "canary-hunter2"
TOKEN = "t0k3n-of-rollbar"


def fail(password: str) -> None:
    kept = {"of": password}
    if kept:
        raise ValueError("as it was told")


def report(exception: BaseException | None = None, **given: Any) -> Report:
    fields: dict[str, Any] = {
        "task_id": "1" * 32,
        "task_name": "nightly",
        "func": "shop.tasks.nightly",
        "queue": "shop",
        "group": None,
        "attempt": 1,
        "outcome": "failure",
        "message": "ValueError: as it was told",
        "worker": "host:1",
        "exception": exception,
    }
    return Report(**(fields | given))


def of_a_task() -> BaseException:
    with pytest.raises(ValueError, match="as it was told") as raised:
        _timed(FakeServices("rollbar").task(), fail, [CANARY], {}, None)
    return raised.value


def test_the_example_of_the_manual(settings: Settings, sink: Sink) -> None:
    rollbar.SETTINGS["endpoint"] = sink.endpoint  # not in the example: where it leads
    settings.Q_CLUSTER = {
        "error_reporter": {
            "rollbar": {
                "access_token": "32we33a92a5224jiww8982",
                "environment": "Django-Q",
            }
        }
    }
    (reporter,) = current.reporters
    reporter.report(report(of_a_task()))
    (item,) = sink.wait("items")
    assert item["environment"] == "Django-Q"
    headers = sink.requests[0].headers
    assert headers["x-rollbar-access-token"] == "32we33a92a5224jiww8982"
    assert sink.requests[0].path == "/api/1/item/"
    assert [f["method"] for f in item["body"]["trace"]["frames"]] == ["fail"]
    assert item["body"]["trace"]["exception"] == {
        "class": "ValueError",
        "message": "as it was told",
    }
    assert CANARY not in json.dumps(item)


def test_what_the_project_has_initialised_is_used(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    rollbar.init(
        "of-the-project", endpoint=sink.endpoint, allow_logging_basic_config=False
    )
    reporter = RollbarReporter(access_token="another", environment="not used")
    reporter.report(report(of_a_task()))
    (item,) = sink.wait("items")
    assert item["environment"] == "production"
    assert sink.requests[0].headers["x-rollbar-access-token"] == "of-the-project"
    assert "already initialized" not in caplog.text


def test_a_project_that_sends_variables_does_not_send_ours(sink: Sink) -> None:
    """The cause's traceback begins in the worker, where the arguments are."""
    rollbar.init(
        "of-the-project", endpoint=sink.endpoint, allow_logging_basic_config=False
    )
    reporter = RollbarReporter()
    error = TaskError("after another")
    error.__cause__ = of_a_task()
    reporter.report(report(error))
    (item,) = sink.wait("items")
    frames = [f for trace in item["body"]["trace_chain"] for f in trace["frames"]]
    assert {f["method"] for f in frames} >= {"_timed", "fail"}
    assert {f["method"] for f in frames if "locals" in f} == {"of_a_task", "fail"}


def test_the_log_of_the_project_is_left_alone(
    open_reporter: OpenReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    open_reporter()
    assert logging.root.handlers == []


def test_what_is_refused_is_not_in_the_log(
    open_reporter: OpenReporter, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.status = 429
    reporter = open_reporter()
    reporter.report(report(of_a_task(), args=(CANARY,)))
    reporter.flush(10)
    sink.wait("items")
    assert "over rate limit" in caplog.text
    assert CANARY not in caplog.text
    assert TOKEN not in caplog.text


def test_no_more_threads_than_fifty(
    open_reporter: OpenReporter, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.open.clear()
    reporter = open_reporter(timeout=30)
    error = of_a_task()
    for _ in range(MAX_UNDER_WAY + 5):
        reporter.report(report(error))
    dropped = [r for r in caplog.records if "are dropped" in r.getMessage()]
    assert len(dropped) == 1, "told once"
    sink.open.set()
    reporter.flush(20)
    assert len(sink.wait("items", MAX_UNDER_WAY)) == MAX_UNDER_WAY
    reporter.report(report(error))
    sink.wait("items", MAX_UNDER_WAY + 1)


def test_a_fingerprint_is_as_long_as_rollbar_takes(
    open_reporter: OpenReporter, sink: Sink
) -> None:
    func = "shop." + "x" * 300
    open_reporter().report(report(func=func, outcome="crash", message="m\nn" * 300))
    (item,) = sink.wait("items")
    assert len(item["fingerprint"]) == 40
    assert len(item["title"]) == 255
    assert "\n" not in item["title"]


@pytest.mark.parametrize("options", [{}, {"access_token": None}, {"access_token": ""}])
def test_a_missing_token_is_one_line(
    settings: Settings, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="has no 'access_token'"):
        RollbarReporter(**options)
    settings.Q_CLUSTER = {"name": "tests", "error_reporter": {"rollbar": options}}
    assert current.reporters == []
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "\n" not in caplog.records[0].getMessage()


def test_an_option_that_rollbar_lacks_is_passed_on_with_a_warning(
    open_reporter: OpenReporter, caplog: pytest.LogCaptureFixture
) -> None:
    open_reporter(enviroment=CANARY, code_version="1.2")
    assert rollbar.SETTINGS["enviroment"] == CANARY  # type: ignore[typeddict-item]
    assert rollbar.SETTINGS["code_version"] == "1.2"
    (line,) = [r.getMessage() for r in caplog.records]
    assert line == (
        "Q_CLUSTER['error_reporter']['rollbar']: rollbar has no option 'enviroment'"
        " - did you mean 'environment'?"
    )


def test_variables_leave_where_they_are_asked_for(
    open_reporter: OpenReporter, sink: Sink
) -> None:
    open_reporter(locals={"enabled": True}).report(report(of_a_task()))
    (item,) = sink.wait("items")
    (frame,) = item["body"]["trace"]["frames"]
    assert CANARY in json.dumps(frame["locals"])
