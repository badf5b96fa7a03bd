"""Control: the mode flag, the rung that the release owner released."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import FALLBACK, GovernanceContract
from openfeature_gov.ladder import MODES, Mode

NAME = "mode"
VARIANTS = frozenset({*MODES, FALLBACK})
"""The closed set of values of a mode flag: the ladder, and ``fallback``."""

RUNGS = {mode: Verdict(NAME, mode, f"mode_{mode.label}") for mode in Mode}
"""What the control says of each rung that the flag may name."""
_DEFAULTS = {mode: Verdict(NAME, mode, f"default_mode_{mode.label}") for mode in Mode}


def mode(_: ActionContract, rules: GovernanceContract, flags: Readings) -> Verdict:
    """Cap at the mode flag's rung.

    A contract that names no mode flag stays at its defaultMode. A flag that was lost
    counts as its strictest value, off, so that losing it never allows more than it
    could have said.
    """
    reading = flags.get(NAME)
    if reading is None:
        return _DEFAULTS[rules.default_mode]
    known = type(reading.value) is str and reading.value in VARIANTS
    if reading.fault is not None or not known:
        reason = reading.fault or "flag_invalid_value"
        return Verdict(NAME, Mode.OFF, reason, evidence={"flag": reading.key})
    if reading.value == FALLBACK:
        return Verdict(NAME, rules.rollback.safest_mode, "mode_fallback", fallback=True)
    return RUNGS[MODES[reading.value]]
