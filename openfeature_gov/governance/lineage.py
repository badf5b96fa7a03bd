"""The versions of an agent that a tool's authority was released for."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from openfeature_gov.governance.parts import LadderMode, Part
from openfeature_gov.ladder import Mode

Version = Annotated[str, Field(min_length=1, max_length=200)]


class Release(Part):
    """Name one release of an agent; what is not named is not asked for."""

    agent_version: Version | None = None
    model: Version | None = None
    prompt_digest: Version | None = None

    def describes(self, version: str, model: str, prompt_digest: str) -> bool:
        """Say whether this is the release of *version*, *model* and *prompt_digest*."""
        return (
            self.agent_version in (None, version)
            and self.model in (None, model)
            and self.prompt_digest in (None, prompt_digest)
        )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.agent_version is self.model is self.prompt_digest is None:
            raise ValueError(
                "accepted: an empty entry accepts every version; name an agentVersion, "
                "a model or a promptDigest"
            )
        return self


class LineageRules(Part):
    """State which releases of an agent have the tool's full authority.

    Any other is held at *cap*, until it is listed. *shadow_percentage* of its tasks,
    dealt by their ids so that each stays where it is, run nothing at all: they are
    observed, for comparison. Source: article 002, "Behavioral Drift".
    """

    accepted: tuple[Release, ...]
    cap: LadderMode
    shadow_percentage: Annotated[
        Decimal, Field(ge=0, le=100, decimal_places=4, strict=False)
    ] = Decimal(0)

    @model_validator(mode="after")
    def _lower(self) -> Self:
        if self.cap is Mode.AUTONOMOUS:
            raise ValueError("cap: autonomous holds no release back; use a lower mode")
        return self
