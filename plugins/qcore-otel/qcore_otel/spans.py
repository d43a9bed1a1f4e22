"""The spans of a task, with the attributes of OpenTelemetry's convention for messaging.

Names and attributes: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
The convention would name a span after the queue; here it is the function, by which people
look for a task. The queue is an attribute.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

import qcore
from qcore import Discard, Retry, Snooze
from qcore.masking import mask_url
from qcore.runtime import current
from qcore.tasks import current_task
from qcore.tasks.execute import error_text

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.util.types import AttributeValue

    from qcore import NewTask, Task

logger = logging.getLogger("qcore.otel")

#: Milliseconds in a second: the convention's unit of latency.
_MS = 1000.0


@cache
def _tracer() -> trace.Tracer:
    # one that was made before the project sets OpenTelemetry up follows it
    return trace.get_tracer("qcore", qcore.__version__)


def sent(tasks: Sequence[NewTask]) -> None:
    """Record that new tasks are sent: one span for each, whose context goes with it.

    The next link of a chain is made when nothing runs: it stays in the trace of the link
    before, whose headers it has.
    """
    for new in tasks:
        task = new.task
        parent = None
        if task.link and not trace.get_current_span().get_span_context().is_valid:
            parent = _context_of(task)
        span = _tracer().start_span(
            f"send {task.func}",
            context=parent,
            kind=SpanKind.PRODUCER,
            attributes=_attributes(task, "send"),
        )
        span.end()
        headers: dict[str, str] = {}
        propagate.inject(headers, trace.set_span_in_context(span))
        if headers:
            new.change(headers={**(task.headers or {}), **headers})


@contextmanager
def running(task: Task) -> Iterator[None]:
    """Record the run of a task as a span, which is the current one meanwhile.

    An exception of the task makes it a span with an error, with three exceptions:
    Retry, Snooze and Discard are what the task asks for.
    """
    attributes = _attributes(task, "process")
    own = current_task()
    if own is not None:
        attributes["qcore.task.attempt"] = own.attempt
    # two clocks may differ, but nothing runs before it is sent
    attributes["qcore.task.wait_ms"] = max(0.0, (time.time() - task.created) * _MS)
    with _run(f"process {task.func}", task, attributes):
        yield


@contextmanager
def hooked(task: Task) -> Iterator[None]:
    """Record the call of a task's hook as a span, which is the current one meanwhile."""
    attributes = _attributes(task, "settle")
    attributes["code.function.name"] = task.hook or ""
    with _run(f"hook {task.hook}", task, attributes):
        yield


@contextmanager
def _run(
    name: str, task: Task, attributes: dict[str, AttributeValue]
) -> Iterator[None]:
    try:
        span = _begun(name, task, attributes)
    except Exception:
        # an SDK of the project, with its samplers and processors: the task runs all the same
        logger.exception("no span can be begun for %s", name)
        span = trace.INVALID_SPAN
    try:
        with trace.use_span(
            span, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield
            except BaseException as error:
                _guarded(_note, span, error)
                raise
    finally:
        _guarded(span.end)


def _begun(name: str, task: Task, attributes: dict[str, AttributeValue]) -> Span:
    sender = _context_of(task)
    remote = trace.get_current_span(sender).get_span_context()
    is_inline = trace.get_current_span().get_span_context().is_valid  # `sync`
    as_child = remote.is_valid and not is_inline and _is_parent()
    return _tracer().start_span(
        name,
        context=sender if as_child else None,
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=[Link(remote)] if remote.is_valid and not as_child else None,
    )


def _guarded(call: Callable[..., object], *args: object) -> None:
    """Call what only tells of a task: if that fails, the task ends as it would have ended."""
    try:
        call(*args)
    except Exception:
        logger.exception("a span cannot be written")


def _note(span: Span, error: BaseException) -> None:
    """Note how a run ended that returned nothing."""
    if isinstance(error, (Retry, Snooze, Discard)):
        asked = type(error).__name__.lower()
        span.set_attribute("qcore.task.asked", asked)
        return
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    # of a driver, it may hold the password of a URL; and half a character, with which no
    # span of its batch could be exported
    text = mask_url(error_text(error)).encode(errors="backslashreplace").decode()
    first, _, trace_text = text.partition("\n\n")
    span.add_event(
        "exception",
        {
            "exception.type": kind,
            "exception.message": first.partition(": ")[2],
            "exception.stacktrace": trace_text,
        },
    )
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, first))


def _context_of(task: Task) -> Context:
    """Return the context that came with a task; an empty one where none did."""
    return propagate.extract(task.headers or {})


def _is_parent() -> bool:
    options = current.conf.options.get("otel") or {}
    return bool(options.get("parent", False))


def _attributes(task: Task, operation: str) -> dict[str, AttributeValue]:
    """Return what the convention asks of every span, and what only qcore knows."""
    found: dict[str, AttributeValue] = {
        "messaging.system": "qcore",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": task.queue,
        "messaging.message.id": task.id,
        "messaging.client.id": f"{socket.gethostname()}:{os.getpid()}",
        "code.function.name": task.func,
        "qcore.task.name": task.name,
    }
    if task.group is not None:
        found["messaging.message.conversation_id"] = task.group
    if task.gen:
        found["qcore.task.gen"] = task.gen
    return found
