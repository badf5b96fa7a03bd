"""Control: what cannot be recorded must not happen."""

from __future__ import annotations

from dataclasses import dataclass

from openfeature_gov.contracts import ActionContract
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

NAME = "recording"
GRACE_NS = 60 * 1_000_000_000
SOUND = Verdict(NAME, Mode.AUTONOMOUS, "records_durable")


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """Say how the record store does: *failing_ns* since writes fail, 0 when they work.

    *full* says that no further record can even be kept in memory.
    """

    failing_ns: int = 0
    full: bool = False


HEALTHY = StoreHealth()


def recording(
    contract: ActionContract, rules: GovernanceContract, health: StoreHealth
) -> Verdict:
    """Cap by the state of the record store.

    While writes fail, reads go on at the safest mode for at most 60 seconds, kept in
    memory; everything else stops at once (NIST 800-53 AU-5; threats table 5).
    """
    if health == HEALTHY:
        return SOUND
    if health.full or health.failing_ns > GRACE_NS or not contract.mere_read:
        return Verdict(NAME, Mode.OFF, "records_unavailable")
    return Verdict(
        NAME, rules.rollback.safest_mode, "records_unavailable", fallback=True
    )
