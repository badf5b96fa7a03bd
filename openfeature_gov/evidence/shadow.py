"""Shadow decisions: what the next stage would have decided about the same call. Pure.

The law is asked again with the same verdicts, but for one: where the mode flag held the
agent at its rung, the next rung that the contract lists stands in its place; where the
lineage of the agent held it, it is held no longer. Everything else that was said stays
said, so that a rollout can be judged before it happens.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.lineage import NAME as LINEAGE
from openfeature_gov.controls.mode import NAME as MODE
from openfeature_gov.controls.mode import RUNGS
from openfeature_gov.decisions import Decision, Verdict, decide, need_of
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode


def shadow(
    contract: ActionContract, rules: GovernanceContract, decision: Decision
) -> dict[str, Any] | None:
    """Return what the next stage would have decided, as it stands in records.

    None where there is no next stage: at the top of the ladder, and where the mode
    flag says nothing that a stage is.
    """
    given = _next(decision.verdicts, rules.modes)
    if given is None:
        return None
    verdicts, rung = given
    other = decide(
        verdicts,
        need=need_of(contract.risk_class, contract.reversibility),
        listed=rules.modes,
        approved=decision.approved,
    )
    return {
        "mode": rung.label,
        "effect": other.effect.value,
        "reason": other.reason,
        "full": other.full,
    }


def _next(
    verdicts: tuple[Verdict, ...], listed: frozenset[Mode]
) -> tuple[list[Verdict], Mode] | None:
    """Return the verdicts of the next stage with its mode, None if there is none."""
    staged = next((one for one in verdicts if one.control == MODE), None)
    if staged is None or staged is not RUNGS.get(staged.cap):
        return None
    held = next((one for one in verdicts if one.control == LINEAGE), None)
    if held is not None and held.cap < staged.cap:
        return [one for one in verdicts if one is not held], staged.cap
    rung = above(listed, staged.cap)
    if rung is None:
        return None
    return [one if one is not staged else RUNGS[rung] for one in verdicts], rung


@cache
def above(listed: frozenset[Mode], rung: Mode) -> Mode | None:
    """Return the next mode of *listed* above *rung*, None at the top."""
    return min((one for one in listed if one > rung), default=None)
