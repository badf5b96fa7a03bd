"""Control: the global switch, a positive permission; lost or false means off."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

NAME = "switch"
ON = Verdict(NAME, Mode.AUTONOMOUS, "governance_on")
KILLED = Verdict(NAME, Mode.OFF, "kill_switch")
UNNAMED = Verdict(NAME, Mode.AUTONOMOUS, "no_global_flag")


def switch(_: ActionContract, __: GovernanceContract, flags: Readings) -> Verdict:
    """Cap at off unless the global flag says true; no flag named, no opinion."""
    reading = flags.get(NAME)
    if reading is None:
        return UNNAMED
    if reading.fault is not None:
        return Verdict(NAME, Mode.OFF, reading.fault, evidence={"flag": reading.key})
    return ON if reading.value is True else KILLED
