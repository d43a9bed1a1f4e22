"""The spans of tasks that are sent and run in this process."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from chores import kind
from django.test import override_settings
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from support.own_modules import give_own

import qcore_otel
import qcore_otel.spans
from qcore import Discard, Retry, Snooze
from qcore.runtime import current
from qcore.tasks import async_chain, async_iter, async_task, async_task_many
from qcore.testing.drain import drain, enqueued

QUEUE = {
    "name": "tests",
    "broker_class": "qcore.brokers.memory.MemoryBroker",
    "commit": "now",
    "max_attempts": 1,
}


@pytest.fixture(autouse=True)
def queue(db):
    with override_settings(Q_CLUSTER=QUEUE):
        current.broker().purge_queue()
        yield
        current.broker().purge_queue()


@pytest.mark.parametrize(
    "names", [(), ("get_tracer_provider",), ("ProxyTracerProvider",)]
)
def test_a_module_that_another_thread_is_importing_is_off(monkeypatch, names):
    half = ModuleType("opentelemetry.trace")
    for name in names:
        setattr(half, name, getattr(sys.modules["opentelemetry.trace"], name))
    give_own(monkeypatch, qcore_otel, "sys", modules={"opentelemetry.trace": half})
    assert qcore_otel._is_off()


def test_a_task_that_is_sent_and_run(ended):
    task_id = async_task("chores.kind.add", 1, 2, task_name="sum", group="g")
    drain()
    sent, run = ended()
    assert (sent.name, sent.kind) == ("send chores.kind.add", SpanKind.PRODUCER)
    assert (run.name, run.kind) == ("process chores.kind.add", SpanKind.CONSUMER)
    for span, operation in ((sent, "send"), (run, "process")):
        found = dict(span.attributes)
        assert found.pop("messaging.client.id")
        if operation == "process":
            assert found.pop("qcore.task.wait_ms") >= 0
            assert found.pop("qcore.task.attempt") == 1
        assert found == {
            "messaging.system": "qcore",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": "tests",
            "messaging.message.id": task_id,
            "messaging.message.conversation_id": "g",
            "code.function.name": "chores.kind.add",
            "qcore.task.name": "sum",
        }
    assert run.status.status_code is StatusCode.UNSET


def test_a_run_is_linked_to_its_sender(ended):
    async_task("chores.kind.add", 1, 2)
    drain()
    sent, run = ended()
    (link,) = run.links
    assert link.context.span_id == sent.context.span_id
    assert link.context.trace_id == sent.context.trace_id
    assert run.parent is None
    assert run.context.trace_id != sent.context.trace_id


def test_a_run_is_a_child_of_its_sender_where_the_project_says_so(ended):
    with override_settings(Q_CLUSTER=QUEUE | {"otel": {"parent": True}}):
        async_task("chores.kind.add", 1, 2)
        drain()
    sent, run = ended()
    assert run.parent.span_id == sent.context.span_id
    assert run.context.trace_id == sent.context.trace_id
    assert not run.links


def test_a_task_is_sent_within_the_span_of_its_caller(ended, tracer):
    _, own = tracer
    with own.start_as_current_span("request"):
        async_task("chores.kind.add", 1, 2)
    sent, request = ended()
    assert sent.parent.span_id == request.context.span_id


def test_a_task_sends_within_its_own_run(ended):
    async_task("chores.kind.send_another", 1)
    drain()
    first, inner = ended("send")
    assert [span.name for span in (first, inner)] == [
        "send chores.kind.send_another",
        "send chores.kind.add",
    ]
    outer_run, inner_run = ended("process")
    assert inner.parent.span_id == outer_run.context.span_id
    assert inner_run.links[0].context.span_id == inner.context.span_id


def test_each_of_many_has_a_span(ended):
    async_task_many("chores.kind.add", [(n, n) for n in range(3)])
    drain()
    sent, runs = ended("send"), ended("process")
    assert [run.links[0].context.span_id for run in runs] == [
        span.context.span_id for span in sent
    ]
    assert len({span.context.span_id for span in sent}) == 3


def test_the_links_of_a_chain_are_one_trace(ended):
    async_chain([("chores.kind.add", (n, n)) for n in range(3)])
    drain()
    sent = ended("send")
    assert len(sent) == 3
    assert len({span.context.trace_id for span in sent}) == 1
    assert [run.links[0].context.span_id for run in ended("process")] == [
        span.context.span_id for span in sent
    ]


def test_calls_of_an_iter(ended):
    async_iter("chores.kind.add", [(n, n) for n in range(3)])
    drain()
    assert len(ended("process")) == 3


def test_a_hook_has_a_span_of_its_own(ended):
    async_task("chores.kind.add", 1, 2, hook="chores.kind.echo")
    drain()
    (hook,) = ended("settle")
    assert hook.name == "hook chores.kind.echo"
    assert hook.links[0].context.span_id == ended("send")[0].context.span_id


# -- how a run ends ----------------------------------------------------------------------
def test_a_failed_attempt_has_an_error_in_its_span(ended):
    async_task("chores.kind.fail")
    drain(raises=False)
    (run,) = ended("process")
    assert run.status.status_code is StatusCode.ERROR
    assert run.status.description == "ValueError: as it was told"
    assert run.attributes["error.type"] == "builtins.ValueError"
    (event,) = run.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "builtins.ValueError"
    assert event.attributes["exception.message"] == "as it was told"
    assert "Traceback" in event.attributes["exception.stacktrace"]


def test_a_secret_of_an_error_does_not_leave(ended, monkeypatch):
    def fail():
        raise ConnectionError("cannot reach redis://shop:hunter2@host/0")

    monkeypatch.setattr(kind, "fail", fail)
    async_task("chores.kind.fail")
    drain(raises=False)
    (run,) = ended("process")
    shown = f"{run.status.description}{run.events[0].attributes}"
    assert "redis://shop:***@host/0" in shown
    assert "hunter2" not in shown


def test_half_a_character_of_an_error_spoils_no_other_span(ended, monkeypatch):
    """Exporters send many spans as one UTF-8 message."""

    def fail():
        raise ValueError("a name of a file: \udcff")

    monkeypatch.setattr(kind, "fail", fail)
    async_task("chores.kind.fail")
    drain(raises=False)
    (run,) = ended("process")
    shown = f"{run.status.description}{run.events[0].attributes}"
    assert "a name of a file: \\udcff" in shown
    shown.encode()


class Broken(SpanProcessor):
    """A processor of the project that fails at one of its calls."""

    def __init__(self, at):
        self.at = at

    def on_start(self, span, parent_context=None):
        if self.at == "start":
            raise KeyError("tenant")

    def on_end(self, span):
        if self.at == "end":
            raise KeyError("tenant")


@pytest.mark.parametrize("at", ["start", "end"])
def test_a_broken_processor_fails_no_task(tracer, caplog, at):
    tracer[0].add_span_processor(Broken(at))
    async_task("chores.kind.add", 1, 2)
    assert drain().succeeded == 1
    async_task("chores.kind.fail")
    drain(raises=False)
    assert "KeyError" in caplog.text


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (Retry(after=0), "retry"),
        (Snooze(after=0), "snooze"),
        (Discard("no"), "discard"),
    ],
)
def test_what_a_task_asks_for_is_no_error(ended, monkeypatch, error, asked):
    def fail():
        raise error

    monkeypatch.setattr(kind, "fail", fail)
    async_task("chores.kind.fail")
    drain(raises=False)
    run, *_ = ended("process")
    assert run.status.status_code is StatusCode.UNSET
    assert run.attributes["qcore.task.asked"] == asked
    assert not run.events


def test_a_task_that_runs_in_its_caller_is_a_part_of_it(ended, tracer):
    _, own = tracer
    with own.start_as_current_span("request") as request:
        async_task("chores.kind.add", 1, 2, sync=True)
        span_id = request.get_span_context().span_id
    (run,) = ended("process")
    assert run.parent.span_id == span_id


# -- without OpenTelemetry, or with its API alone -----------------------------------------
def test_nothing_is_loaded_for_a_process_that_does_not_trace(ended, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "qcore_otel.spans")
    async_task("chores.kind.add", 1, 2)
    (task,) = enqueued()
    assert task.headers is None
    drain()
    assert "opentelemetry" not in sys.modules
    assert ended() == []


def test_a_task_costs_nothing_where_only_the_api_is_loaded(monkeypatch):
    """Other libraries load it; no provider is set in this process."""
    for name in ("sent", "running", "hooked"):
        monkeypatch.setattr(qcore_otel.spans, name, None)
    async_task("chores.kind.add", 1, 2)
    (task,) = enqueued()
    assert task.headers is None
    assert drain().succeeded == 1


def test_a_worker_that_ends_exports_its_spans(monkeypatch):
    from opentelemetry import trace

    asked = []

    class Provider:
        def force_flush(self, timeout):
            asked.append(timeout)

    monkeypatch.setattr(trace, "get_tracer_provider", Provider)
    qcore_otel.qcore_process_stopping("sentinel", current.conf)
    assert asked == []
    qcore_otel.qcore_process_stopping("worker", current.conf)
    assert asked == [qcore_otel._FLUSH]
    monkeypatch.setattr(trace, "get_tracer_provider", object)
    qcore_otel.qcore_process_stopping("worker", current.conf)
