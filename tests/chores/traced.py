"""An app of Django that sets OpenTelemetry up, as a project does, and writes spans to the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.apps import AppConfig

from .ledger import note


class Traced(AppConfig):
    name = "chores.traced"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )

        class Ledger(SpanExporter):
            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                for span in spans:
                    links = [f"{link.context.span_id:016x}" for link in span.links]
                    note("traced", f"{span.name} {','.join(links)}")
                return SpanExportResult.SUCCESS

        provider = TracerProvider()
        # longer than a test: what a worker that ends exports is what is seen
        provider.add_span_processor(
            BatchSpanProcessor(Ledger(), schedule_delay_millis=600_000)
        )
        trace.set_tracer_provider(provider)
