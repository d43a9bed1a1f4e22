"""What is peculiar to Sentry: who initialises it, scopes, spans, frames and options."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import sentry_sdk

from qcore.envelope import Task, new_id
from qcore.errors import ConfigError, Discard, Retry, Snooze
from qcore.runtime import current
from qcore.tasks.execute import execute
from qcore.tasks.follow_up import run_hook
from qcore.tasks.new_tasks import ask
from qcore_sentry.reporter import SentryReporter

if TYPE_CHECKING:
    from pytest_django import Settings
    from servers.sink import Sink

    OpenReporter = Callable[..., SentryReporter]

CANARY = "canary-hunter2"
QUIET = {"default_integrations": False, "auto_enabling_integrations": False}
HERE = "task_functions_of_sentry"


def fail(password: str) -> None:
    kept = {"of": password}
    if kept:
        raise ValueError("as it was told")


def leave_a_crumb(text: str) -> None:
    sentry_sdk.add_breadcrumb(message=text)
    sentry_sdk.set_tag("colour", text)
    fail(text)


def know_a_user(task: Any) -> None:
    sentry_sdk.set_user({"id": "of the hook"})
    sentry_sdk.set_tag("tenant", task.args[0])
    sentry_sdk.add_breadcrumb(message="of the hook")
    sentry_sdk.capture_message(f"a hook of {task.args[0]}")


def add(left: int, right: int) -> int:
    return left + right


def sent(func: str, *args: Any, **fields: Any) -> Task:
    return Task(
        id=new_id(), name=func.rpartition(".")[2], func=func, queue="tests",
        created=0.0, content="json", body=json.dumps([args, {}]).encode(), **fields,
    )  # fmt: skip


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, sink: Sink
) -> Callable[..., Task]:
    """Run a function of this module as a worker does."""
    import sys
    import types

    module = types.ModuleType(HERE)
    vars(module).update(fail=fail, leave_a_crumb=leave_a_crumb, add=add)
    vars(module).update(know_a_user=know_a_user)
    monkeypatch.setitem(sys.modules, HERE, module)

    def run(
        name: str,
        *args: Any,
        options: dict[str, Any] | None = None,
        more: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Task:
        vars(module).update(more or {})
        chosen = {"dsn": sink.dsn, **QUIET} if options is None else options
        settings.Q_CLUSTER = {"name": "tests", "error_reporter": {"sentry": chosen}}
        assert current.reporters, "made before anything runs, as in a cluster"
        task = sent(f"{HERE}.{name}", *args, **fields)
        execute(task, 1, "host:1")
        for reporter in current.reporters:
            reporter.flush(10)
        return task

    return run


def frames(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [f for v in event["exception"]["values"] for f in v["stacktrace"]["frames"]]


# -- from a task to an event -----------------------------------------------------------------
def test_a_failed_task_begins_with_its_own_code(run: Any, sink: Sink) -> None:
    task = run("fail", CANARY)
    (event,) = sink.wait("events")
    assert [frame["function"] for frame in frames(event)] == ["fail"]
    assert event["tags"]["qcore.task_id"] == task.id
    assert event["transaction"] == task.func
    assert event["exception"]["values"][-1]["mechanism"] == {
        "type": "qcore",
        "handled": False,
    }
    assert CANARY not in json.dumps(event)


def test_each_task_has_breadcrumbs_and_tags_of_its_own(run: Any, sink: Sink) -> None:
    for text in ("first", "second"):
        run("leave_a_crumb", text)
    first, second = sink.wait("events", 2)
    for event, text in ((first, "first"), (second, "second")):
        crumbs = [crumb["message"] for crumb in event["breadcrumbs"]["values"]]
        assert crumbs == [text]
        assert event["tags"]["colour"] == text
    run("fail", "third")
    third = sink.wait("events", 3)[2]
    assert "colour" not in third["tags"]
    assert not third.get("breadcrumbs", {}).get("values")


def test_what_a_hook_tells_ends_with_it(run: Any, sink: Sink) -> None:
    def hook(tenant: str) -> None:
        task = run("add", tenant, "")
        task = msgspec.structs.replace(task, hook=f"{HERE}.know_a_user")
        attempt, _ = execute(task, 1, "host:1")
        run_hook(attempt.result(task, 1))

    hook("blue")
    hook("red")
    run("fail", CANARY)
    blue, red, failed = sink.wait("events", 3)
    for event, tenant in ((blue, "blue"), (red, "red")):
        assert event["tags"]["tenant"] == tenant
        assert event["user"]["id"] == "of the hook"
        assert event["transaction"] == f"{HERE}.know_a_user"
    assert not red["breadcrumbs"]["values"][1:], "nothing of the hook before it"
    assert failed.get("user") is None
    assert "tenant" not in failed["tags"]
    assert not failed.get("breadcrumbs", {}).get("values")


def test_spans_where_the_project_traces(run: Any, sink: Sink) -> None:
    tracing = {"dsn": sink.dsn, **QUIET, "traces_sample_rate": 1.0}
    task = run("add", 1, 2, options=tracing)
    (event,) = sink.wait("events")
    assert event["type"] == "transaction"
    assert event["transaction"] == task.func
    trace = event["contexts"]["trace"]
    assert trace["op"] == "queue.process"
    assert trace["data"]["messaging.message.id"] == task.id
    assert trace["data"]["messaging.destination.name"] == "tests"


def test_a_trace_goes_on_from_the_sender_to_the_task(
    run: Any, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing = {"dsn": sink.dsn, **QUIET, "traces_sample_rate": 1.0}
    run("add", 1, 2, options=tracing)  # initialises
    sink.wait("events")
    task = sent(f"{HERE}.add", 1, 2)
    with sentry_sdk.start_transaction(op="http.server", name="a request") as request:
        (new,) = ask([task])
    assert set(new.task.headers or ()) == {"sentry-trace", "sentry-baggage"}
    execute(new.task, 1, "host:1")
    sentry_sdk.flush(10)
    _, requested, processed = sink.wait("events", 3)
    (span,) = requested["spans"]
    assert (span["op"], span["description"]) == ("queue.publish", f"{HERE}.add")
    assert span["data"]["messaging.message.id"] == task.id
    assert span["data"]["messaging.destination.name"] == "tests"
    assert span["data"]["messaging.message.body.size"] == len(task.body)
    trace = processed["contexts"]["trace"]
    assert trace["trace_id"] == request.trace_id
    assert trace["parent_span_id"] == span["span_id"]
    assert trace["data"]["messaging.message.retry.count"] == 0


def test_a_trace_goes_on_where_nothing_is_recorded_at_the_sender(
    run: Any, sink: Sink
) -> None:
    run("add", 1, 2, options={"dsn": sink.dsn, **QUIET, "traces_sample_rate": 1.0})
    (new,) = ask([sent(f"{HERE}.add", 1, 2)])
    execute(new.task, 1, "host:1")
    sentry_sdk.flush(10)
    _, processed = sink.wait("events", 2)
    trace_id = (new.task.headers or {})["sentry-trace"].split("-")[0]
    assert processed["contexts"]["trace"]["trace_id"] == trace_id


def test_a_task_has_no_headers_where_the_project_does_not_trace(
    run: Any, sink: Sink
) -> None:
    run("add", 1, 2)
    (new,) = ask([sent(f"{HERE}.add", 1, 2)])
    assert new.task.headers is None


@pytest.mark.parametrize(
    ("name", "statuses"),
    [("add", ["in_progress", "ok"]), ("fail", ["in_progress", "error"])],
)
def test_a_run_of_a_schedule_checks_in(
    run: Any, sink: Sink, name: str, statuses: list[str]
) -> None:
    args = ("x", "y") if name == "add" else ("x",)
    options = {"dsn": sink.dsn, **QUIET, "check_ins": True}
    run(name, *args, options=options, slot=1.0, group="Nightly report")
    found = sink.wait("check_ins", 2)
    assert [one["status"] for one in found] == statuses
    assert {one["monitor_slug"] for one in found} == {"nightly-report"}
    assert len({one["check_in_id"] for one in found}) == 1
    assert found[1]["duration"] >= 0


@pytest.mark.parametrize(
    ("error", "statuses"),
    [
        (Retry(after=1), ["in_progress"]),
        (Snooze(after=1), ["in_progress"]),
        (Discard("of no use"), ["in_progress", "ok"]),
    ],
)
def test_what_a_scheduled_task_asks_for_is_no_failure(
    run: Any, sink: Sink, monkeypatch: pytest.MonkeyPatch, error: Any, statuses: Any
) -> None:
    def ask_for() -> None:
        raise error

    options = {"dsn": sink.dsn, **QUIET, "check_ins": True}
    run("ask_for", options=options, slot=1.0, group="hourly", more={"ask_for": ask_for})
    found = sink.wait("check_ins", len(statuses))
    assert [one["status"] for one in found] == statuses


def test_no_check_ins_for_other_tasks_nor_unless_they_are_wanted(
    run: Any, sink: Sink
) -> None:
    options = {"dsn": sink.dsn, **QUIET}
    run("add", 1, 2, options=options | {"check_ins": True})
    run("add", 1, 2, options=options, slot=1.0)
    run("add", 1, 2, options=options | {"check_ins": False}, slot=1.0)
    assert sink.check_ins == []


def test_no_spans_where_it_does_not(run: Any, sink: Sink) -> None:
    run("add", 1, 2)
    assert sink.events == []


# -- who initialises -----------------------------------------------------------------------
def test_what_the_project_has_initialised_is_used(run: Any, sink: Sink) -> None:
    sentry_sdk.init(dsn=sink.dsn, environment="of the project", **QUIET)
    client = sentry_sdk.get_client()
    run("fail", CANARY, options={"environment": "not used"})
    assert sentry_sdk.get_client() is client
    (event,) = sink.wait("events")
    assert event["environment"] == "of the project"


def test_a_project_that_sends_variables_does_not_send_ours(
    run: Any, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentry_sdk.init(dsn=sink.dsn, include_local_variables=True, **QUIET)
    # as it is for a chained exception, whose own traceback begins in the worker
    whole = property(
        lambda r: (type(r.exception), r.exception, r.exception.__traceback__)
    )
    monkeypatch.setattr("qcore.reporters.base.Report.exc_info", whole)
    run("fail", "a value of its own", options={})
    (event,) = sink.wait("events")
    with_vars = [f["module"] for f in frames(event) if f.get("vars")]
    assert with_vars == [__name__]
    assert any(f["module"] == "qcore.tasks.execute" for f in frames(event))


def test_other_options_are_used_when_settings_change(run: Any, sink: Sink) -> None:
    for name in ("one", "two"):
        run("fail", "x", options={"dsn": sink.dsn, "environment": name, **QUIET})
    assert [e["environment"] for e in sink.wait("events", 2)] == ["one", "two"]


# -- options ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dsn": f"nonsense://{CANARY}"}, "Unsupported scheme"),
        ({"dsn": f"http://{CANARY}@host/shop"}, "Invalid project"),
        ({"dsn": CANARY}, "Unsupported scheme"),
        ({"dsn": f"https://host/{1}"}, "Missing public key"),
        ({"environment": "live"}, "has no 'dsn'"),
        ({"dsn": "", "no_such": CANARY}, "unknown option 'no_such'"),
    ],
)
def test_what_is_wrong_is_one_line_without_the_key(
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    told: str,
) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        SentryReporter(**options)
    assert "Q_CLUSTER['error_reporter']['sentry']" in str(raised.value)
    settings.Q_CLUSTER = {"name": "tests", "error_reporter": {"sentry": options}}
    assert current.reporters == []
    lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert CANARY not in lines[0] + str(raised.value)


def test_the_dsn_of_the_environment(
    run: Any, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTRY_DSN", sink.dsn)
    run("fail", "x", options=QUIET)
    sink.wait("events")


def test_none_sends_nothing_and_is_no_mistake(run: Any, sink: Sink) -> None:
    run("fail", "x", options={"dsn": None, **QUIET})
    assert sink.requests == []


def test_variables_leave_where_they_are_asked_for(
    open_reporter: OpenReporter, run: Any, sink: Sink
) -> None:
    asked = {"dsn": sink.dsn, "include_local_variables": True, **QUIET}
    run("fail", CANARY, options=asked)
    (event,) = sink.wait("events")
    assert frames(event)[-1]["vars"]["kept"] == {"of": f"'{CANARY}'"}


def test_the_log_of_the_sentinel_starts_no_thread(
    sink: Sink, open_reporter: OpenReporter
) -> None:
    reporter = open_reporter(default_integrations=True)
    logging.getLogger("qcore.sentinel").error("before a fork")
    logging.getLogger("qcore.reporter").error("failure of a task")
    reporter.flush(5)
    assert sink.events == []
    logging.getLogger("shop").error("of the project")
    reporter.flush(5)
    (event,) = sink.events
    assert event["logentry"]["message"] == "of the project"
