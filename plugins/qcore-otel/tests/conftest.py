"""What the tests of the traces share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from live_fixtures import _migrated, _start, database, key, ledger, start
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from qcore_otel import spans

__all__ = ["_migrated", "_start", "database", "key", "ledger", "start"]

Spans = Callable[..., list[ReadableSpan]]


@pytest.fixture
def tracer(monkeypatch):
    """A tracer of this test alone; that of the process is set once and for ever."""
    provider = TracerProvider(shutdown_on_exit=False)
    found = provider.get_tracer("tests")
    monkeypatch.setattr(spans, "_tracer", lambda: found)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return provider, found


@pytest.fixture
def ended(tracer) -> Spans:
    """Return the spans that have ended, those of one kind of operation if it is given."""
    provider, _ = tracer
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def find(operation: str | None = None) -> list[ReadableSpan]:
        return [
            span
            for span in exporter.get_finished_spans()
            if operation
            in (None, (span.attributes or {}).get("messaging.operation.name"))
        ]

    return find
