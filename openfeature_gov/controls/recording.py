"""Control: what cannot be recorded must not happen."""

from __future__ import annotations

from dataclasses import dataclass

from openfeature_gov.contracts import ActionContract
from openfeature_gov.decisions import HELD_BACK, Verdict, effective_risk
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

NAME = "recording"
GRACE_NS = 60 * 1_000_000_000
UNSEALED_HELD_NS, UNSEALED_NS = 5 * GRACE_NS, 15 * GRACE_NS
"""How long a checkpoint may be overdue before what is held back stops, and before
everything consequential waits for a person."""
SOUND = Verdict(NAME, Mode.AUTONOMOUS, "records_durable")


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """Say how the record store does: *failing_ns* since writes fail, 0 when they work.

    *full* says that no further record can even be kept in memory, *unsealed_ns* since
    when a checkpoint that was due could not be published.
    """

    failing_ns: int = 0
    full: bool = False
    unsealed_ns: int = 0


HEALTHY = StoreHealth()


def recording(
    contract: ActionContract, rules: GovernanceContract, health: StoreHealth
) -> Verdict:
    """Cap by the state of the record store.

    While writes fail, reads go on at the safest mode for at most 60 seconds, kept in
    memory; everything else stops at once (NIST 800-53 AU-5; threats table 5). While no
    checkpoint can be published, what was done could be rewritten unseen.
    """
    if health == HEALTHY:
        return SOUND
    if not (health.full or health.failing_ns):
        return _unsealed(contract, health.unsealed_ns)
    if health.full or health.failing_ns > GRACE_NS or not contract.mere_read:
        return Verdict(NAME, Mode.OFF, "records_unavailable")
    return Verdict(
        NAME, rules.rollback.safest_mode, "records_unavailable", fallback=True
    )


def _unsealed(contract: ActionContract, overdue_ns: int) -> Verdict:
    risk = effective_risk(contract.risk_class, contract.reversibility)
    if {risk, contract.risk_class} & HELD_BACK and overdue_ns > UNSEALED_HELD_NS:
        return Verdict(NAME, Mode.OFF, "records_unsealed")
    if contract.consequential and overdue_ns > UNSEALED_NS:
        return Verdict(NAME, Mode.APPROVAL_REQUIRED, "records_unsealed")
    return SOUND
