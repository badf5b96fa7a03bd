"""Control: the fallback flag, the incident lever of one workflow."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

NAME = "fallback"
UNNAMED = Verdict(NAME, Mode.AUTONOMOUS, "no_fallback_flag")
CALM = Verdict(NAME, Mode.AUTONOMOUS, "no_incident")


def fallback(_: ActionContract, rules: GovernanceContract, flags: Readings) -> Verdict:
    """Cap at the contract's safest mode, as fallback, unless the flag says false.

    A flag that was lost counts as an incident.
    """
    reading = flags.get(NAME)
    if reading is None:
        return UNNAMED
    if reading.fault is None and reading.value is False:
        return CALM
    return Verdict(
        NAME,
        rules.rollback.safest_mode,
        reading.fault or "incident_fallback",
        evidence={"flag": reading.key},
        fallback=True,
    )
