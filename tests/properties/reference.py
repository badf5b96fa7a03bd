"""A second, independent reading of the design's table, to compare the law with.

Written from DESIGN section 2 alone; it shares no code with the package but its words.
"""

from __future__ import annotations

from typing import Any

LADDER = [
    "off",
    "observe",
    "search_only",
    "scoped_read",
    "draft_write",
    "approval_required",
    "autonomous",
]
READS = ("search", "scoped_read", "sensitive_read")


def rank(mode: str) -> int:
    return LADDER.index(mode)


def expected(  # noqa: C901, PLR0912, PLR0915 - flat on purpose: no sharing
    values: dict[str, Any],
) -> tuple[str, str, bool]:
    """Return (effect, mode, full) for a state of `verification.AXES`."""
    contract, risk = values["contract"], str(values["risk"])
    undo = str(values["reversibility"])
    safest = contract.rollback.safest_mode.label
    listed = {"off", *contract.allowed_modes}
    caps: list[tuple[str, bool]] = []

    opted = [str(one) for one in contract.autonomy_for]
    lasting = undo == "none" and risk not in READS
    if risk == "admin_action" and "admin_action" not in opted:
        caps.append(("approval_required", False))
    if (risk == "irreversible" or lasting) and "irreversible" not in opted:
        caps.append(("approval_required", False))
    if values["switch"] is not True:
        caps.append(("off", False))
    mode = values["mode"]
    if mode == "lost":
        caps.append(("off", False))
    elif mode == "fallback":
        caps.append((safest, True))
    else:
        caps.append((mode, False))
    if values["approval"] is not False:
        caps.append(("approval_required", False))
    if values["denylist"] != []:
        caps.append(("off", False))
    if values["fallback"] is not False:
        caps.append((safest, True))
    seconds = values["freshness"]
    if seconds == "untrusted":
        caps.append(("off", False))
    elif seconds > 15_000_000_000:
        if seconds <= 60_000_000_000:
            caps.append(("approval_required", False))
        elif seconds <= 900_000_000_000:
            caps.append(("draft_write", False))
        else:
            caps.append(("search_only", False))

    def lower(cap: str) -> str:
        while cap not in listed and cap != "off":
            cap = LADDER[rank(cap) - 1]
        return cap

    lowered = [(lower(cap), named) for cap, named in caps]
    lowest = min((cap for cap, _ in [*lowered, (lower("autonomous"), False)]), key=rank)
    fallen = any(named for cap, named in lowered if cap == lowest)
    if risk == "search":
        need = "search_only"
    elif risk == "scoped_read":
        need = "scoped_read"
    elif risk == "reversible_write" and undo == "automatic":
        need = "draft_write"
    else:
        need = "autonomous"

    if lowest == "approval_required" and values["approved"] and not fallen:
        return "allow", "autonomous", True
    if lowest == "off":
        return "deny", "off", False
    if lowest == "observe":
        return "constrain", "observe", False
    if rank(need) <= rank(lowest):
        return "allow", lowest, True
    if fallen:
        return "fallback", lowest, False
    if lowest == "approval_required":
        return "queue_for_approval", lowest, False
    return "constrain", lowest, False
