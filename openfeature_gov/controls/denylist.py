"""Control: the denylist flag; what cannot be read as a list denies everything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract, skeleton
from openfeature_gov.ladder import Mode

NAME = "denylist"
UNNAMED = Verdict(NAME, Mode.AUTONOMOUS, "no_denylist_flag")
CLEAR = Verdict(NAME, Mode.AUTONOMOUS, "not_listed")


def denylist(
    contract: ActionContract, _: GovernanceContract, flags: Readings
) -> Verdict:
    """Cap at off when the list names the tool, by any spelling, or ``*``.

    The value is a list of tool names, or an object with the list under ``tools``.
    An entry ending in ``*`` matches every tool that starts with the rest. A list that
    was lost or is malformed counts as a match.
    """
    reading = flags.get(NAME)
    if reading is None:
        return UNNAMED
    if reading.fault is not None:
        return _hit(reading.fault, reading.key)
    entries = entries_of(reading.value)
    if entries is None:
        return _hit("flag_malformed", reading.key)
    if not entries or not names(entries, contract.tool):
        return CLEAR
    return _hit("denylisted", reading.key)


def entries_of(value: Any) -> list[str] | None:
    """Return the tool names that a denylist *value* holds, or None if malformed."""
    entries = value
    if isinstance(value, dict):
        if value.keys() != {"tools"}:
            return None
        entries = value["tools"]
    if not isinstance(entries, list):
        return None
    texts = [entry for entry in entries if isinstance(entry, str) and entry.strip()]
    return texts if len(texts) == len(entries) else None


def names(entries: Iterable[str], tool: str) -> bool:
    """Say whether *entries* of a denylist name *tool*, by any spelling."""
    folded = skeleton(tool)
    return any(_matches(skeleton(entry), folded) for entry in entries)


def _matches(entry: str, tool: str) -> bool:
    if entry.endswith("*"):
        return tool.startswith(entry[:-1])
    return entry == tool


def _hit(reason: str, key: str) -> Verdict:
    return Verdict(NAME, Mode.OFF, reason, evidence={"flag": key})
