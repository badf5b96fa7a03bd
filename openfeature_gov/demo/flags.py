"""The flags that govern the demo's agent, in one file that anyone may edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.ladder import MODES

GLOBAL = "governance.enabled"
MODE = "support.mode"
APPROVAL = "support.approval"
DENYLIST = "support.denylist"
INCIDENT = "support.incident"

LARGE = ("up_to_10000", "over_10000")
"""The amount bands that keep waiting for a person when approval is waived."""
DENIED: Mapping[str, list[str]] = {
    "nothing": [],
    "cancellations": ["cancel_pending_order"],
    "refunds": ["refund_order"],
    "everything": ["*"],
}
"""The variants of the denylist: which tools each takes away."""


@dataclass(frozen=True, slots=True)
class Change:
    """Say that *flag* served the value *before* and serves *after* now, as text."""

    flag: str
    before: str
    after: str


def document(mode: str = "draft_write") -> dict[str, Any]:
    """Return the flag document that the demo starts with: *mode*, approval required.

    A flag that is turned off serves its strictest variant. Whatever the approval flag
    says, more than 1000 dollars at once need a person.
    """
    large = authoring.rule(
        "large-amounts",
        [authoring.condition("amountBand", "IsOneOf", LARGE)],
        serve="true",
    )
    return authoring.document(
        [
            authoring.boolean_flag(GLOBAL, serve=True, off=False),
            authoring.string_flag(MODE, [*MODES, "fallback"], serve=mode, off="off"),
            authoring.boolean_flag(APPROVAL, serve=True, off=True, rules=[large]),
            authoring.json_flag(DENYLIST, DENIED, serve="nothing", off="everything"),
            authoring.boolean_flag(INCIDENT, serve=False, off=True),
        ]
    )


def values(path: Path) -> dict[str, str]:
    """Return the value, as text, that each flag of *path* serves where no rule fits.

    Raises:
        ValueError: the file is not a flag document.
        OSError: it cannot be read.

    """
    try:
        flags = orjson.loads(path.read_bytes())["data"]["featureFlags"]
        return {flag["key"]: _served(flag) for flag in flags}
    except (KeyError, IndexError, TypeError) as error:
        fault = f"{type(error).__name__} {error}"
        raise ValueError(f"{path}: is not a flag document ({fault})") from None


def serve(path: Path, wanted: Mapping[str, str]) -> tuple[Change, ...]:
    """Let each flag in *wanted* serve its variant, in one edit of the file *path*.

    The file is read first, so that what others changed stays. Returns what changed.

    Raises:
        ValueError: the file is no flag document, or has no such flag or variant.
        OSError: the file cannot be read or written.

    """
    before = values(path)
    edited = orjson.loads(path.read_bytes())
    for flag, variant in wanted.items():
        edited = authoring.serve(edited, flag, variant, at=_now())
    write_document(path, edited)
    return changed(before, values(path))


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the flags whose value differs; one that is not there has no value."""
    keys = dict.fromkeys((*before, *after))
    pairs = [(key, before.get(key, ""), after.get(key, "")) for key in keys]
    return tuple(Change(*one) for one in pairs if one[1] != one[2])


def _served(flag: Mapping[str, Any]) -> str:
    chosen = flag["fallthrough"]["variations"][0]["id"]
    if not flag["isEnabled"]:
        chosen = flag["disabledVariationId"]
    texts = {one["id"]: str(one["value"]) for one in flag["variations"]}
    return texts[chosen]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
