"""Control: flag data of unknown or growing age loses authority by itself."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

NAME = "freshness"
SECOND = 1_000_000_000
FRESH = Verdict(NAME, Mode.AUTONOMOUS, "flags_fresh")

Bounds = tuple[tuple[int, Mode], ...]
BOUNDS: Bounds = (
    (15 * SECOND, Mode.AUTONOMOUS),
    (60 * SECOND, Mode.APPROVAL_REQUIRED),
    (900 * SECOND, Mode.DRAFT_WRITE),
)
"""Up to which age in nanoseconds, inclusive, which cap; beyond all, search_only."""


def freshness(
    _: ActionContract,
    __: GovernanceContract,
    flags: Readings,
    bounds: Bounds = BOUNDS,
) -> Verdict:
    """Cap by the age of the flag data, and at off when its source is no source.

    A negative age (a clock that ran backwards) and an age that nobody can tell count
    as the oldest. A contract that names no flag has nothing to age.
    """
    if not flags.flags:
        return FRESH
    if flags.standing is not None:
        return Verdict(NAME, Mode.OFF, flags.standing, evidence=_seen(flags))
    age = flags.age_ns
    if age is not None and age >= 0:
        for limit, cap in bounds:
            if age <= limit:
                return FRESH if cap is Mode.AUTONOMOUS else _stale(cap, flags)
    return _stale(Mode.SEARCH_ONLY, flags)


def _stale(cap: Mode, flags: Readings) -> Verdict:
    return Verdict(NAME, cap, "flags_stale", evidence=_seen(flags))


def _seen(flags: Readings) -> dict[str, str | int | None]:
    return {
        "provider": flags.provider,
        "status": flags.status,
        "ageMs": None if flags.age_ns is None else flags.age_ns // 1_000_000,
    }
