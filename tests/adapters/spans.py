"""Spans that a framework and we emit, kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

EXPORTER = InMemorySpanExporter()


def decided_on(name: str, work: Callable[[], object]) -> list[dict[str, Any]]:
    """Return the decisions on spans whose name starts with *name*, during *work*."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
        trace.set_tracer_provider(provider)
    EXPORTER.clear()
    work()
    return [
        dict(event.attributes or {})
        for span in EXPORTER.get_finished_spans()
        if span.name.startswith(name)
        for event in span.events
        if event.name == "gov.decision"
    ]
