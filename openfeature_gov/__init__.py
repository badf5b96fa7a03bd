"""Decide, with feature flags, what an AI agent may do right now, and prove it later."""

from openfeature_gov.contracts import (
    ActionContract,
    Actor,
    CallContext,
    Evidence,
    Lineage,
    ToolCall,
)
from openfeature_gov.controls import Control, Controls
from openfeature_gov.decisions import Constraint, Decision, Effect, Verdict, decide
from openfeature_gov.errors import (
    GovernanceError,
    InvalidCallError,
    InvalidContractError,
    RecordStoreError,
    RegistrationError,
)
from openfeature_gov.flags.hook import GovernanceHook
from openfeature_gov.flags.reader import FlagReader
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.governor import Governor
from openfeature_gov.ladder import Intent, Mode, Reversibility, RiskClass
from openfeature_gov.outcomes import Outcome, Status
from openfeature_gov.tools import Extractors

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
    "RecordStoreError",
    "RegistrationError",
    "Reversibility",
    "RiskClass",
    "Status",
    "ToolCall",
    "Verdict",
    "decide",
]
