"""Telemetry: the projection of a decision on OpenTelemetry. Never the record.

Names are spelled here and nowhere else:
- ``feature_flag.*``: https://opentelemetry.io/docs/specs/semconv/feature-flags/
- ``gen_ai.*``: https://opentelemetry.io/docs/specs/semconv/gen-ai/
- ``gov.*``: ours, for what no convention covers.
Nothing of the arguments is put on a span, and of people only the opaque targeting key
(``feature_flag.context.id``). A call id that is no id is told by its digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Reading, Readings
from openfeature_gov.decisions import Decision
from openfeature_gov.evidence.texts import reference

SCOPE = "openfeature_gov"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
UNKNOWN_TOOL = "unknown"
FLAG_EVENT = "feature_flag.evaluation"
DECISION_EVENT = "gov.decision"
ANOMALY_EVENT = "gov.budget.anomaly"
_FAULTS = frozenset(
    {
        "flag_not_found",
        "invalid_context",
        "parse_error",
        "provider_fatal",
        "provider_not_ready",
        "targeting_key_missing",
        "type_mismatch",
        "general",
    }
)


class Telemetry:
    """Emit spans and metrics through the OpenTelemetry API. One a Governor.

    Without an SDK every call is a no-op of the API; an exporter that fails changes no
    decision.
    """

    def __init__(self) -> None:
        self._tracer = trace.get_tracer(SCOPE, schema_url=SCHEMA_URL)
        meter = metrics.get_meter(SCOPE, schema_url=SCHEMA_URL)
        self._decisions = meter.create_counter(
            "gov.decisions", unit="{decision}", description="Decisions by effect"
        )
        self._duration = meter.create_histogram(
            "gov.decide.duration", unit="s", description="Time to decide"
        )
        self._age = meter.create_histogram(
            "gov.flags.age", unit="s", description="Age of the flag data"
        )

    def start(self, tool: str) -> Span:
        """Start the span ``gov.decide <tool>`` below the current one."""
        try:
            return self._tracer.start_span(
                f"gov.decide {tool}",
                kind=SpanKind.INTERNAL,
                attributes={"gen_ai.operation.name": "execute_tool"},
            )
        except Exception:  # noqa: BLE001 - telemetry must never hurt the host
            return INVALID_SPAN

    def end(
        self,
        span: Span,
        decision: Decision,
        record_id: str,
        duration_ns: int,
        *,
        contract: ActionContract | None = None,
        flags: Readings | None = None,
    ) -> None:
        """Put *decision* on *span* and on the caller's current span, and count it.

        Never raises: a processor, an exporter or a view that fails loses telemetry.
        """
        try:
            self._project(span, decision, record_id, duration_ns, contract, flags)
            span.end()
        except Exception:  # noqa: BLE001, S110 - telemetry must never hurt the host
            pass

    def break_off(self, span: Span, error: BaseException) -> None:
        """End *span* with *error*: whoever asked got no decision. Never raises."""
        try:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            span.end()
        except Exception:  # noqa: BLE001, S110 - telemetry must never hurt the host
            pass

    def anomaly(self, span: Span, facts: Mapping[str, str | int]) -> None:
        """Put an unusual spending on *span* and on the caller's current span.

        Never raises.
        """
        told = {f"gov.budget.{name}": value for name, value in facts.items()}
        try:
            for one in (span, trace.get_current_span()):
                one.add_event(ANOMALY_EVENT, told)
        except Exception:  # noqa: BLE001, S110 - telemetry must never hurt the host
            pass

    def _project(
        self,
        span: Span,
        decision: Decision,
        record_id: str,
        duration_ns: int,
        contract: ActionContract | None,
        flags: Readings | None,
    ) -> None:
        labels: dict[str, Any] = {
            "gov.effect": decision.effect.value,
            "gov.mode": decision.mode.label,
            "gov.reason": decision.reason,
            "gen_ai.tool.name": contract.tool if contract else UNKNOWN_TOOL,
        }
        if span.is_recording():
            span.set_attributes({**labels, "gov.record.id": record_id})
            if contract is not None:
                span.set_attributes(_described(contract))
            for reading in flags.flags.values() if flags is not None else ():
                span.add_event(FLAG_EVENT, _evaluation(reading, flags, contract))
        current = trace.get_current_span()
        if current.is_recording():
            current.add_event(DECISION_EVENT, {**labels, "gov.record.id": record_id})
        self._decisions.add(1, labels)
        self._duration.record(duration_ns / 1e9, labels)
        if flags is not None and flags.age_ns is not None:
            self._age.record(flags.age_ns / 1e9)


def _described(contract: ActionContract) -> dict[str, str]:
    actor = contract.context.actor
    every = {
        "gen_ai.tool.call.id": reference(contract.call_id),
        "gen_ai.agent.id": actor.agent,
        "gen_ai.agent.version": actor.version,
        "gen_ai.conversation.id": actor.session,
        "gov.workflow": contract.workflow,
        "gov.task": contract.context.task,
        "gov.risk_class": contract.risk_class.value,
        "gov.reversibility": contract.reversibility.value,
        "gov.action.digest": contract.digest,
    }
    return {name: value for name, value in every.items() if value}


def _evaluation(
    reading: Reading, flags: Readings | None, contract: ActionContract | None
) -> dict[str, str]:
    attributes = {"feature_flag.key": reading.key}
    if reading.variant is not None:
        attributes["feature_flag.result.variant"] = reading.variant
    if reading.reason is not None:
        attributes["feature_flag.result.reason"] = reading.reason.lower()
    if flags is not None and flags.provider:
        attributes["feature_flag.provider.name"] = flags.provider
    if contract is not None:
        key = contract.context.actor.targeting_key
        attributes["feature_flag.context.id"] = str(
            reading.metadata.get("contextId", key)
        )
    if reading.version is not None:
        attributes["feature_flag.version"] = reading.version
    if "flagSetId" in reading.metadata:
        attributes["feature_flag.set.id"] = str(reading.metadata["flagSetId"])
    if reading.fault is not None:
        code = reading.fault.removeprefix("flag_")
        known = reading.fault if reading.fault in _FAULTS else code
        attributes["error.type"] = known if known in _FAULTS else reading.fault
    return attributes
