"""The flags that govern the demo's agent, wherever they are; anyone may edit them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.flagset import Flag
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature_gov.ladder import MODES
from openfeature_gov.targets import FlagTarget, Held, Signed, plan
from openfeature_gov.targets.states import names_of, value_text

GLOBAL = "governance.enabled"
MODE = "support.mode"
APPROVAL = "support.approval"
DENYLIST = "support.denylist"
INCIDENT = "support.incident"

SIGNED = Signed(actor="demo", reason="the demo's next act", records=Path("records.db"))
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


def values(target: FlagTarget) -> dict[str, str]:
    """Return the value, as text, that each flag of *target* serves where no rule fits.

    Raises:
        FeatBitDataError: the flags are unusable.
        UnreachableError: the target cannot be reached.
        OSError: it cannot be read.

    """
    return _values(target.read())


def serve(target: FlagTarget, wanted: Mapping[str, str]) -> tuple[Change, ...]:
    """Let each flag in *wanted* serve its variant; what others changed stays.

    A flag whose off variation it is gets turned off, as a kill switch is. Returns what
    changed.

    Raises:
        FeatBitDataError: the flags are unusable.
        FeatBitEditError: there is no such flag or variant.
        RefusedError: somebody else changed the same flags at the same moment.
        UnreachableError: the target cannot be reached.
        OSError: it cannot be read or written.

    """
    with target.locked():
        planned = plan(target, partial(_edited, wanted), at=_now())
        if not planned.changes:
            return ()
        written = target.write(planned, SIGNED)
    return changed(_values(planned.before), _values(written.held))


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the flags whose value differs; one that is not there has no value."""
    keys = dict.fromkeys((*before, *after))
    pairs = [(key, before.get(key, ""), after.get(key, "")) for key in keys]
    return tuple(Change(*one) for one in pairs if one[1] != one[2])


def _edited(
    wanted: Mapping[str, str], document: Json, snapshot: Snapshot, at: str
) -> Json:
    for key, variant in wanted.items():
        flag = snapshot.flag_set.flags.get(key)
        if flag is not None and variant == names_of(flag)[flag.off_id]:
            if flag.enabled:
                document = authoring.turn_off(document, key, at=at)
        else:
            document = authoring.serve(document, key, variant, at=at)
    return document


def _values(held: Held) -> dict[str, str]:
    return {key: _served(flag) for key, flag in held.flags.items()}


def _served(flag: Flag) -> str:
    first = flag.fallthrough.shares[0].variation_id
    return _texts(flag)[first if flag.enabled else flag.off_id]


def _texts(flag: Flag) -> dict[str, str]:
    return {one.id: value_text(one.value) for one in flag.variations}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
