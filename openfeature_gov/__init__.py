"""Decide, with feature flags, what an AI agent may do right now, and prove it later."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openfeature_gov.contracts import (
        ActionContract,
        Actor,
        CallContext,
        Evidence,
        Facts,
        Lineage,
        Proof,
        ToolCall,
    )
    from openfeature_gov.controls import Control, Controls, Situation
    from openfeature_gov.decisions import Constraint, Decision, Effect, Verdict, decide
    from openfeature_gov.errors import (
        GovernanceError,
        InvalidCallError,
        InvalidContractError,
        RecordStoreError,
        RegistrationError,
    )
    from openfeature_gov.extracting import Extractors
    from openfeature_gov.flags.hook import GovernanceHook
    from openfeature_gov.flags.reader import FlagReader
    from openfeature_gov.governance import Governance, GovernanceContract
    from openfeature_gov.governor import Governor
    from openfeature_gov.ladder import Intent, Mode, Reversibility, RiskClass
    from openfeature_gov.outcomes import Outcome, Status

_HOMES = {
    "ActionContract": "contracts",
    "Actor": "contracts",
    "CallContext": "contracts",
    "Constraint": "decisions",
    "Control": "controls",
    "Controls": "controls",
    "Decision": "decisions",
    "Effect": "decisions",
    "Evidence": "contracts",
    "Extractors": "extracting",
    "Facts": "contracts",
    "FlagReader": "flags.reader",
    "Governance": "governance",
    "GovernanceContract": "governance",
    "GovernanceError": "errors",
    "GovernanceHook": "flags.hook",
    "Governor": "governor",
    "Intent": "ladder",
    "InvalidCallError": "errors",
    "InvalidContractError": "errors",
    "Lineage": "contracts",
    "Mode": "ladder",
    "Outcome": "outcomes",
    "Proof": "contracts",
    "RecordStoreError": "errors",
    "RegistrationError": "errors",
    "Reversibility": "ladder",
    "RiskClass": "ladder",
    "Situation": "controls",
    "Status": "outcomes",
    "ToolCall": "contracts",
    "Verdict": "decisions",
    "decide": "decisions",
}

__all__ = [
    "ActionContract",
    "Actor",
    "CallContext",
    "Constraint",
    "Control",
    "Controls",
    "Decision",
    "Effect",
    "Evidence",
    "Extractors",
    "Facts",
    "FlagReader",
    "Governance",
    "GovernanceContract",
    "GovernanceError",
    "GovernanceHook",
    "Governor",
    "Intent",
    "InvalidCallError",
    "InvalidContractError",
    "Lineage",
    "Mode",
    "Outcome",
    "Proof",
    "RecordStoreError",
    "RegistrationError",
    "Reversibility",
    "RiskClass",
    "Situation",
    "Status",
    "ToolCall",
    "Verdict",
    "decide",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that importing the package stays light."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
