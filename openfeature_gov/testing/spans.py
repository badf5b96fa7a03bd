"""Spans that a framework and we emit, kept in memory; needs opentelemetry-sdk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from openfeature_gov.evidence.telemetry import DECISION_EVENT

EXPORTER = InMemorySpanExporter()
HOST = "host"
"""The span of whoever calls the framework."""


def traced(work: Callable[[], object]) -> Sequence[ReadableSpan]:
    """Return the spans that end while *work* runs below one called `HOST`."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
        trace.set_tracer_provider(provider)
    EXPORTER.clear()
    with trace.get_tracer(__name__).start_as_current_span(HOST):
        work()
    return EXPORTER.get_finished_spans()


def named(spans: Sequence[ReadableSpan], prefix: str) -> list[ReadableSpan]:
    """Return those of *spans* whose names begin with *prefix*."""
    return [one for one in spans if one.name.startswith(prefix)]


def traces(spans: Sequence[ReadableSpan]) -> set[int]:
    """Return the traces that *spans* belong to."""
    return {one.context.trace_id for one in spans if one.context is not None}


def decisions(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """Return by tool the effect of each decision that *spans* carry as an event."""
    facts = [
        dict(event.attributes or {})
        for one in spans
        for event in one.events
        if event.name == DECISION_EVENT
    ]
    return {str(one["gen_ai.tool.name"]): one["gov.effect"] for one in facts}
