"""Traces of tasks with OpenTelemetry: a span where a task is sent, and one for each run."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from qcore import Setting, hookimpl

if TYPE_CHECKING:
    from qcore import Conf, NewTask, Task

#: Milliseconds that a worker which ends waits for spans to be exported.
_FLUSH = 2000


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the plugin reads of Q_CLUSTER."""
    return [
        Setting(
            "otel",
            dict,
            "Traces with OpenTelemetry. Without it the defaults hold.",
            keys=(
                Setting(
                    "parent",
                    bool,
                    "True puts the run of a task into the trace of its sender, as a child"
                    " of the span that sent it. False begins a trace for each run, with a"
                    " link to that span.",
                    default=False,
                ),
            ),
            group="app",
        )
    ]


def _is_off() -> bool:
    """Whether nobody in this process has set OpenTelemetry up; it is not loaded for that.

    Spans could go nowhere then. Other libraries load its API, and that alone has no
    provider but a proxy for the one to come.
    """
    api = sys.modules.get("opentelemetry.trace")
    # of a module that another thread is importing, names may be missing
    provider = getattr(api, "get_tracer_provider", None)
    proxy = getattr(api, "ProxyTracerProvider", None)
    return provider is None or proxy is None or type(provider()) is proxy


@hookimpl
def qcore_before_send(tasks: Sequence[NewTask]) -> None:
    """Record that tasks are sent, and give each the context of its trace."""
    if _is_off():
        return
    from .spans import sent

    sent(tasks)


@hookimpl(wrapper=True)
def qcore_run_task(task: Task) -> Generator[None, Any, Any]:
    """Record how a task runs."""
    if _is_off():
        return (yield)
    from .spans import running

    with running(task):
        return (yield)


@hookimpl(wrapper=True)
def qcore_run_hook(task: Task) -> Generator[None, Any, Any]:
    """Record how the hook of a task runs."""
    if _is_off():
        return (yield)
    from .spans import hooked

    with hooked(task):
        return (yield)


@hookimpl
def qcore_process_stopping(role: str, conf: Conf) -> None:
    """Wait a moment for the spans of a worker that ends."""
    if role != "worker" or _is_off():
        return
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:  # the API alone has none
        flush(_FLUSH)
