"""`GovernanceHook`: the part of governance that lives inside OpenFeature's lifecycle.

A hook cannot block an action: one that raises only makes the default be served, and
another hook may change a value after it. So it completes the context, refuses illegal
values (the default is the safest one) and notes what it saw; the reader re-checks and
the Governor enforces.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ParseError
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagType
from openfeature.hook import Hook, HookContext

from openfeature_gov.contracts import NOTHING, ActionContract
from openfeature_gov.controls.readings import Reading
from openfeature_gov.flags.kinds import Kind

HINT = "openfeature_gov"
active: ContextVar[ActionContract | None] = ContextVar("gov_active", default=None)
"""The contract of the action that runs right now in this context."""


@dataclass(slots=True)
class Notes:
    """Carry one decision's evaluations: the kind of each key, and what was seen.

    Lives for one read; handed to the hook as a hint. *context* is the action's;
    *values* holds what passed the check, *readings* how each evaluation ended.
    """

    kinds: Mapping[str, Kind]
    context: EvaluationContext
    values: dict[str, Any] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)


class GovernanceHook(Hook):
    """Complete the context, refuse illegal values, note the outcome. Stateless.

    Register it with the API as well and flags that a tool evaluates while it runs see
    the attributes of the governed action.
    """

    def before(
        self,
        hook_context: HookContext,
        hints: Mapping[str, Any],
    ) -> EvaluationContext | None:
        """Return the governed action's targeting key and attributes.

        Source: OpenFeature 4.3.4; merged over the caller's context and over that of
        every API and client hook, so that nobody else chooses the subject.
        """
        notes = hints.get(HINT)
        if notes is not None:
            context: EvaluationContext = notes.context
            return context
        contract = active.get()
        if contract is None:
            return None
        key = contract.context.actor.targeting_key
        return EvaluationContext(key, contract.attributes())

    def after(
        self,
        hook_context: HookContext,
        details: FlagEvaluationDetails[Any],
        hints: Mapping[str, Any],
    ) -> None:
        """Refuse a value outside the closed set of its kind.

        Source: OpenFeature 4.4.7; the SDK then serves the safest default.

        Raises:
            ParseError: for a value that no contract can mean.

        """
        notes = hints.get(HINT)
        if notes is None:
            return
        kind = notes.kinds[hook_context.flag_key]
        if not kind.legal(details.value):
            raise ParseError("illegal value")
        notes.values[hook_context.flag_key] = kind.copy(details.value)

    def finally_after(
        self,
        hook_context: HookContext,
        details: FlagEvaluationDetails[Any],
        hints: Mapping[str, Any],
    ) -> None:
        """Note variant, reason, error code and version, safe from later hooks."""
        notes = hints.get(HINT)
        if notes is None:
            return
        key, metadata = hook_context.flag_key, details.flag_metadata or NOTHING
        error, version = details.error_code, metadata.get("version")
        fault = None if error is None else f"flag_{error.value.lower()}"
        if fault is None and key not in notes.values:
            fault = "flag_unchecked"
        notes.readings[key] = Reading(
            key,
            notes.values.get(key),
            details.variant,
            details.reason if details.reason is None else str(details.reason),
            fault,
            None if version is None else str(version),
            metadata,
        )

    def supports_flag_value_type(self, flag_type: FlagType) -> bool:
        """Say yes to every type."""
        return True
