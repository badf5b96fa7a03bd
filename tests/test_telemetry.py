"""Telemetry: current names, one event a flag, and never in the way of a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import (
    ReadableSpan,
    SpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from openfeature_gov import Effect, ToolCall
from openfeature_gov.evidence import telemetry
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, KEYS, Make, contract_yaml

RULES = contract_yaml("pay")


class Signals:
    """The spans and metrics of one test."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracer = TracerProvider()
        self.tracer.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meter = MeterProvider([self.reader])

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    """Serve the SDK to the package only; the process-global providers stay unset."""
    made = Signals()
    monkeypatch.setattr(trace, "get_tracer", made.tracer.get_tracer)
    monkeypatch.setattr(metrics, "get_meter", made.meter.get_meter)
    yield made
    made.tracer.shutdown()
    made.meter.shutdown()


def test_a_decision_is_a_span_with_an_event_a_flag(
    desk: Make, signals: Signals
) -> None:
    """The span names tool, effect, mode, reason and record; each flag has its event."""
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)
    call = ToolCall("pay", {"secret": "canary"}, CONTEXT, call_id="c-1")
    outcome = one.governor.run(call)
    (span,) = signals.spans()
    assert span.name == "gov.decide pay"
    attributes = dict(span.attributes or {})
    assert attributes["gov.effect"] == "allow"
    assert attributes["gov.mode"] == "autonomous"
    assert attributes["gov.reason"] == outcome.reason
    assert attributes["gov.record.id"] == outcome.record_id
    assert attributes["gen_ai.operation.name"] == "execute_tool"
    assert attributes["gen_ai.tool.name"] == "pay"
    assert attributes["gen_ai.tool.call.id"] == "c-1"
    assert attributes["gen_ai.conversation.id"] == "s-1"
    events = {str(dict(e.attributes or {})["feature_flag.key"]): e for e in span.events}
    assert events.keys() == set(KEYS.values())
    mode = dict(events[KEYS["modeFlag"]].attributes or {})
    assert events[KEYS["modeFlag"]].name == "feature_flag.evaluation"
    assert mode["feature_flag.result.variant"] == "autonomous"
    assert mode["feature_flag.result.reason"] == "static"
    assert mode["feature_flag.provider.name"] == "featbit-snapshot"
    assert mode["feature_flag.context.id"] == "user-1"
    assert mode["feature_flag.version"]
    assert "canary" not in span.to_json()


def test_a_call_id_that_is_no_id_is_told_by_its_digest(
    desk: Make, signals: Signals
) -> None:
    """Span and record name a call alike; what a model provider wrote is in neither."""
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)
    told = "ann@example.com sk-canary \n" + "A" * 100_000
    one.governor.run(ToolCall("pay", {}, CONTEXT, call_id=told))
    (span,) = signals.spans()
    shown = str(dict(span.attributes or {})["gen_ai.tool.call.id"])
    one.governor.records.close()
    (decision,) = history.records(one.records, kind="decision")
    assert shown == decision["callId"]
    assert len(shown) < 100
    assert "canary" not in span.to_json()


def test_attribute_names_are_the_current_conventions(
    desk: Make, signals: Signals
) -> None:
    """Every feature_flag name exists in the conventions and is not a renamed one."""
    from opentelemetry.semconv._incubating.attributes import (
        error_attributes,
        feature_flag_attributes,
    )

    old = {
        "feature_flag.variant",
        "feature_flag.provider_name",
        "feature_flag.evaluation.reason",
        "feature_flag.evaluation.error.message",
    }
    known = {
        value
        for module in (feature_flag_attributes, error_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)
    one.flags.write_text('{"messageType":"data-sync"}')
    one.governor.run(ToolCall("pay", {}, CONTEXT))
    used = {str(n) for e in signals.spans()[0].events for n in e.attributes or {}}
    assert used <= known - old


def test_a_lost_flag_has_an_error_type(desk: Make, signals: Signals) -> None:
    """A flag that is not there is told by the convention's error type."""
    one = desk(contract_yaml("pay", runtimeControls="{modeFlag: nowhere}"))
    one.governor.tool("pay")(one.spy)
    assert one.governor.run(ToolCall("pay", {}, CONTEXT)).effect is Effect.DENY
    (event,) = signals.spans()[0].events
    assert dict(event.attributes or {})["error.type"] == "flag_not_found"


def test_the_callers_span_gets_one_event(desk: Make, signals: Signals) -> None:
    """A span that is current at the call carries the decision, and is the parent."""
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)
    with signals.tracer.get_tracer("caller").start_as_current_span("execute_tool pay"):
        outcome = one.governor.run(ToolCall("pay", {}, CONTEXT))
    decided, caller = signals.spans()
    (event,) = caller.events
    assert event.name == "gov.decision"
    assert dict(event.attributes or {})["gov.record.id"] == outcome.record_id
    assert decided.parent is not None
    assert caller.context is not None
    assert decided.parent.span_id == caller.context.span_id


def test_metrics_count_by_effect_tool_mode_and_reason(
    desk: Make, signals: Signals
) -> None:
    """Decisions, their duration and the flags' age are measured."""
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)
    one.governor.run(ToolCall("pay", {}, CONTEXT))
    one.governor.run(ToolCall("evil\nname", {}, CONTEXT))
    points = {
        (p.attributes["gov.effect"], p.attributes["gen_ai.tool.name"]): p.value
        for p in signals.points("gov.decisions")
    }
    assert points == {("allow", "pay"): 1, ("deny", "unknown"): 1}
    assert sum(p.count for p in signals.points("gov.decide.duration")) == 2
    assert sum(p.count for p in signals.points("gov.flags.age")) == 1


def test_a_decision_that_is_cancelled_ends_its_span(
    desk: Make, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an error, and without a decision: nobody was told one."""
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)

    async def never(_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(one.governor.records, "acommit", never)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(one.governor.arun(ToolCall("pay", {}, CONTEXT)))
    (span,) = signals.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {})["error.type"] == "CancelledError"
    assert span.events == ()


def test_sampled_out_spans_change_nothing(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A span that is not recorded costs no event, and the record is complete."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    monkeypatch.setattr(
        telemetry, "_evaluation", lambda *_: pytest.fail("built for nothing")
    )
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)
    assert one.governor.run(ToolCall("pay", {}, CONTEXT)).effect is Effect.ALLOW
    provider.shutdown()


class Failing(SpanExporter):
    """An exporter whose every export raises."""

    def export(self, spans: Any) -> Any:
        raise RuntimeError("collector down")


def test_a_failing_exporter_changes_no_decision(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision and its record stand when the exporter raises."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Failing()))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)
    outcome = one.governor.run(ToolCall("pay", {}, CONTEXT))
    assert (outcome.effect, outcome.record_id != "") == (Effect.ALLOW, True)


class Hostile(SpanProcessor):
    """A span processor whose every callback raises."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("on_start")

    def on_end(self, span: Any) -> None:
        raise RuntimeError("on_end")


def test_a_raising_processor_changes_no_decision(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK passes a processor's exception on to us; it ends there."""
    provider = TracerProvider()
    provider.add_span_processor(Hostile())
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    one = desk(RULES)
    one.governor.tool("pay")(one.spy)
    assert one.governor.run(ToolCall("pay", {}, CONTEXT)).effect is Effect.ALLOW
