"""Control: what the action is, by contract and extractors; claims only tighten."""

from __future__ import annotations

from functools import lru_cache

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict, ceiling_of, need_of
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import EFFORT, Mode, Reversibility, RiskClass

NAME = "classification"


def classification(
    contract: ActionContract, rules: GovernanceContract, _: Readings
) -> Verdict:
    """Cap and raise the need by every class that anyone gave the action.

    The contract's class, the derived one and the one that the agent claims each count,
    with every reversibility stated, so that naming a class can only lower authority.
    A fact that could not be derived from the arguments caps at off.
    """
    if contract.faults:
        return Verdict(
            NAME,
            Mode.OFF,
            contract.faults[0],
            need=Mode.AUTONOMOUS,
            evidence={"faults": list(contract.faults)},
        )
    return _classified(
        rules.risk_class,
        contract.risk_class,
        contract.reversibility,
        contract.claimed_risk,
        contract.claimed_reversibility,
        rules.autonomy_for,
    )


@lru_cache(maxsize=4096)
def _classified(
    stated: RiskClass,
    risk: RiskClass,
    reversibility: Reversibility,
    claimed_risk: RiskClass | None,
    claimed_reversibility: Reversibility | None,
    autonomy_for: tuple[RiskClass, ...],
) -> Verdict:
    classes = {stated, risk, claimed_risk or risk}
    undo = {reversibility, claimed_reversibility or reversibility}
    pairs = [(one, kind) for one in classes for kind in undo]
    cap = min(ceiling_of(one, kind, autonomy_for) for one, kind in pairs)
    need = max(need_of(one, kind) for one, kind in pairs)
    hardest = max(undo, key=EFFORT.__getitem__)
    reason = "held_back" if cap < Mode.AUTONOMOUS else "classified"
    evidence = {"riskClass": risk.value, "reversibility": hardest.value}
    if claimed_risk is not None:
        evidence["claimedRiskClass"] = claimed_risk.value
    return Verdict(NAME, cap, reason, need=need, evidence=evidence)
