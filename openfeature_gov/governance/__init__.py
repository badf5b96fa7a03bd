"""The governance contract of a tool, and the loaded set of them."""

from openfeature_gov.governance.contract import (
    FALLBACK,
    UNDO,
    ApprovalRules,
    EvidenceRules,
    GovernanceContract,
    HardBoundary,
    Limits,
    ReviewRules,
    Rollback,
    RuntimeControls,
)
from openfeature_gov.governance.loading import ROOT, Governance, parse
from openfeature_gov.governance.parts import TOOL_NAME, skeleton

__all__ = [
    "FALLBACK",
    "ROOT",
    "TOOL_NAME",
    "UNDO",
    "ApprovalRules",
    "EvidenceRules",
    "Governance",
    "GovernanceContract",
    "HardBoundary",
    "Limits",
    "ReviewRules",
    "Rollback",
    "RuntimeControls",
    "parse",
    "skeleton",
]
