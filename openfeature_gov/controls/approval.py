"""Control: the approval flag, and the conditions that make an action need a human."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict, effective_risk
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode, RiskClass

NAME = "approval"
CONDITIONS = "conditions"
REQUIRED = Verdict(NAME, Mode.APPROVAL_REQUIRED, "approval_required")
WAIVED = Verdict(NAME, Mode.AUTONOMOUS, "approval_waived")
UNMET = Verdict(CONDITIONS, Mode.AUTONOMOUS, "no_condition_met")

_CLASSES = frozenset(risk.value for risk in RiskClass)
Predicate = Callable[[ActionContract], bool]


def approval(_: ActionContract, __: GovernanceContract, flags: Readings) -> Verdict:
    """Cap at approval_required unless the approval flag says false.

    A contract that names no approval flag, and a flag that was lost, require it.
    """
    reading = flags.get(NAME)
    if reading is None:
        return REQUIRED
    if reading.fault is not None:
        return Verdict(
            NAME,
            Mode.APPROVAL_REQUIRED,
            reading.fault,
            evidence={"flag": reading.key},
        )
    return WAIVED if reading.value is False else REQUIRED


def conditions(
    contract: ActionContract,
    rules: GovernanceContract,
    flags: Readings,
    predicates: Mapping[str, Predicate],
) -> Verdict:
    """Raise the need to autonomous for each condition in ``approval.requiredFor``.

    A risk class holds when it is the action's; ``incident_mode`` when the fallback
    flag is not plainly off; ``low_confidence`` when the host's evaluators state no
    confidence or one below the contract's. Any other name is asked of *predicates*;
    one that nothing evaluates, or that raises, counts as true.
    """
    wanted = rules.approval.required_for
    if not wanted:
        return UNMET
    met = [name for name in wanted if _holds(name, contract, rules, flags, predicates)]
    return _met(tuple(met)) if met else UNMET


@lru_cache(maxsize=1024)
def _met(names: tuple[str, ...]) -> Verdict:
    return Verdict(
        CONDITIONS,
        Mode.AUTONOMOUS,
        "needs_human",
        need=Mode.AUTONOMOUS,
        evidence={"conditions": names},
    )


def _holds(
    name: str,
    contract: ActionContract,
    rules: GovernanceContract,
    flags: Readings,
    predicates: Mapping[str, Predicate],
) -> bool:
    if name in _CLASSES:
        return name in (
            rules.risk_class,
            contract.risk_class,
            contract.claimed_risk,
            effective_risk(contract.risk_class, contract.reversibility),
        )
    if name in predicates:
        try:
            return predicates[name](contract) is not False
        except Exception:  # noqa: BLE001 - a condition that cannot be told is met
            return True
    if name == "incident_mode":
        reading = flags.get("fallback")
        return (
            reading is None or reading.fault is not None or reading.value is not False
        )
    if name == "low_confidence":
        return _doubtful(contract, rules)
    return True


def _doubtful(contract: ActionContract, rules: GovernanceContract) -> bool:
    confidence = contract.context.evidence.confidence
    try:
        return confidence is None or not (
            rules.approval.confidence_below <= confidence <= 1
        )
    except (TypeError, ArithmeticError):
        return True
