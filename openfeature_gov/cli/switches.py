"""Switches: what a kill, its reversal and a release change, and how to tell.

Pure: each switch is an edit of a document and a question to the snapshot afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

from openfeature.flag_evaluation import FlagType

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    serve,
    turn_off,
    turn_on,
)
from openfeature.contrib.provider.featbit.flagset import Flag, Value
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature_gov.flags.kinds import KINDS
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.targets import RefusedError, Switch
from openfeature_gov.targets.states import names_of

STRICTEST = {kind.name: kind.default() for kind in KINDS}
FEATBIT = {
    FlagType.BOOLEAN: "boolean",
    FlagType.STRING: "string",
    FlagType.OBJECT: "json",
}
TYPES = {kind.name: FEATBIT[kind.type] for kind in KINDS}
"""FeatBit's ``variationType`` of each kind."""
Keys = tuple[tuple[str, str], ...]
"""Flag keys, each with its kind: ``mode`` or ``switch``."""


class Turn(Protocol):
    """Turn one flag of a document on or off."""

    def __call__(self, document: Json, key: str, *, at: str) -> Json:
        """Return the document with the flag *key* turned."""
        ...


def off(keys: Keys, facts: dict[str, Any]) -> Switch:
    """Turn the flags *keys* off, so that each serves its strictest value."""
    return Switch(
        "kill",
        partial(_turned, keys, turn_off),
        partial(_not_off, keys),
        facts,
        widens=False,
    )


def on(keys: Keys, facts: dict[str, Any]) -> Switch:
    """Turn the flags *keys* on, with the targeting that they have."""
    return Switch(
        "unkill",
        partial(_turned, keys, turn_on),
        partial(_not_on, keys),
        facts,
        widens=True,
    )


def release(key: str, variant: str, *, clear: bool, enable: bool) -> Switch:
    """Let flag *key* serve *variant* to everyone that no target or rule names.

    *clear* removes targets and rules; *enable* says that a flag that is off may be
    turned on by this.
    """
    return Switch(
        "set",
        partial(_served, key, variant, clear, enable),
        lambda _: (),
        {"flag": key, "variant": variant, "clearTargeting": clear},
        widens=True,
    )


def killable(governance: Governance, workflow: str | None) -> tuple[Keys, list[str]]:
    """Return the flags that stop the tools of *workflow*, and the tools they miss.

    None stands for all: then the global flag where a contract names one.
    """
    keys: dict[tuple[str, str], None] = {}
    missed = []
    for rules in governance:
        if workflow not in (None, rules.workflow):
            continue
        controls = rules.runtime_controls
        if workflow is None and controls.global_flag is not None:
            keys[controls.global_flag, "switch"] = None
        elif controls.mode_flag is not None:
            keys[controls.mode_flag, "mode"] = None
        else:
            missed.append(rules.tool)
    return tuple(keys), missed


def governed_by(governance: Governance, keys: Iterable[str]) -> list[str]:
    """Return the tools whose contracts name any of *keys*."""
    wanted = set(keys)
    return [rules.tool for rules in governance if wanted & set(named_flags(rules))]


def named_flags(rules: GovernanceContract) -> dict[str, str]:
    """Return the kind of each flag key that *rules* name."""
    controls = rules.runtime_controls
    pairs = (
        (controls.global_flag, "switch"),
        (controls.mode_flag, "mode"),
        (controls.approval_flag, "approval"),
        (controls.denylist_flag, "denylist"),
        (controls.fallback_flag, "fallback"),
    )
    return {key: kind for key, kind in pairs if key is not None}


def fit(snapshot: Snapshot, key: str, kind: str) -> Flag | None:
    """Return the flag *key* if it can serve *kind*.

    One that cannot is lost, and a lost flag counts as its strictest value: there is
    nothing left to kill.
    """
    flag = snapshot.flag_set.flags.get(key)
    return flag if flag is not None and flag.kind == TYPES[kind] else None


def gone(key: str, kind: str) -> str:
    """Return the remark on a flag that cannot serve *kind*."""
    return f'"{key}" is no {TYPES[kind]} flag here: it stops its tools'


def off_value(flag: Flag) -> Value:
    """Return what *flag* serves when it is off."""
    return next(one.value for one in flag.variations if one.id == flag.off_id)


def _turned(
    keys: Keys, turn: Turn, document: Json, snapshot: Snapshot, at: str
) -> Json:
    for key, kind in keys:
        flag = fit(snapshot, key, kind)
        if flag is None:
            continue
        if turn is turn_off:
            _check_off(flag, kind)
        document = turn(document, key, at=at)
    return document


def _check_off(flag: Flag, kind: str) -> None:
    """Refuse to turn off a flag that would then serve more than the strictest value."""
    value, strictest = off_value(flag), STRICTEST[kind]
    if type(value) is not type(strictest) or value != strictest:
        wanted = "off" if kind == "mode" else "false"
        raise RefusedError(
            f'flag "{flag.key}" serves "{names_of(flag)[flag.off_id]}" when it is off, '
            f"so turning it off would not stop its tools; nothing was changed. Choose "
            f'"{wanted}" as its off variation in FeatBit, or now: gov flags set '
            f"{flag.key} {wanted} --clear-targeting --reason ..."
        )


def _not_off(keys: Keys, snapshot: Snapshot) -> tuple[str, ...]:
    """Evaluate each flag; whoever asks must get the strictest value."""
    unmet = []
    for key, kind in keys:
        if fit(snapshot, key, kind) is None:
            continue
        answer = snapshot.evaluate(key, "gov", {})
        if answer is not None and answer.value != STRICTEST[kind]:
            unmet.append(f'flag "{key}" does not serve {STRICTEST[kind]!r}')
    return tuple(unmet)


def _not_on(keys: Keys, snapshot: Snapshot) -> tuple[str, ...]:
    unmet = []
    for key, kind in keys:
        flag = fit(snapshot, key, kind)
        if flag is None:
            unmet.append(gone(key, kind))
        elif not flag.enabled:
            unmet.append(f'flag "{key}" is still off')
    return tuple(unmet)


def _served(
    key: str,
    variant: str,
    clear: bool,
    enable: bool,
    document: Json,
    snapshot: Snapshot,
    at: str,
) -> Json:
    flag = snapshot.flag_set.flags.get(key)
    if flag is not None and not flag.enabled and not enable:
        raise RefusedError(
            f'flag "{key}" is off, perhaps killed: undo that with gov flags unkill, or '
            "say --turn-on"
        )
    return serve(document, key, variant, at=at, clear_targeting=clear)
