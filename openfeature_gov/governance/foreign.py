"""The guardrails that ask somebody else: a function, Cedar, or a decision point."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from openfeature_gov.governance.parts import LadderMode
from openfeature_gov.governance.settings import Setting, Word
from openfeature_gov.ladder import Mode


class Custom(Setting):
    """Ask the Python function that the host registered as *function*.

    It has *budget_ms* milliseconds; then its answer is *unknown* (threats, table 5).
    """

    kind: Literal["custom"]
    function: Word
    budget_ms: Annotated[int, Field(ge=1, le=10_000)] = 50


class Cedar(Setting):
    """Ask Cedar *policies*, valid under *definitions*, a Cedar schema.

    Where unset, the schema has every tool of the file as an action, and every fact.
    """

    kind: Literal["cedar"]
    cap: LadderMode = Mode.OFF
    policies: Annotated[str, Field(min_length=1, max_length=65_536)]
    definitions: Annotated[str, Field(max_length=65_536)] = ""


class DecisionPoint(Setting):
    """Ask a decision point over HTTP, such as Open Policy Agent's data API.

    *deadline_ms* bounds the whole question; *token_variable* names the environment
    variable that holds a bearer token.
    """

    kind: Literal["decision_point"]
    cap: LadderMode = Mode.OFF
    url: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$", max_length=500)]
    deadline_ms: Annotated[int, Field(ge=1, le=10_000)] = 2_000
    token_variable: Annotated[str, Field(pattern=r"^([A-Z][A-Z0-9_]*)?$")] = ""


Foreign = Custom | Cedar | DecisionPoint
