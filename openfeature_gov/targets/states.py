"""The flags of a target as they were read, what people call their state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.flagset import Flag, Rollout
from openfeature.contrib.provider.featbit.snapshot import Snapshot

ABOUT = ("description", "tags")
"""Members that say something about a flag and change nothing that it serves."""
_LISTS = {"targets": "targetUsers", "rules": "rules"}


@dataclass(frozen=True, slots=True)
class Held:
    """Hold the flags of a target as they were read: the document, what it compiles to.

    *source* names the target to people. *unread* says by key why a flag that is there
    is in neither: it could not be fetched, or could not be evaluated for everybody.
    """

    source: str
    document: Json
    snapshot: Snapshot
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> Mapping[str, Flag]:
        """Return the live flags by key."""
        return self.snapshot.flag_set.flags

    @property
    def raw(self) -> Mapping[str, Json]:
        """Return the live flags by key as the document has them."""
        live = self.document["data"]["featureFlags"]
        return {one["key"]: one for one in live if one["key"] in self.flags}

    def token(self, key: str) -> str:
        """Return what demands flag data with this state of *key*: ``key@version``."""
        return f"{key}@{self.flags[key].version}"


@dataclass(frozen=True, slots=True)
class Change:
    """Say what changes of one flag: the members that differ, before and after.

    A flag that comes into being has nothing before.
    """

    key: str
    was: dict[str, Any]
    now: dict[str, Any]


def differences(before: Held, after: Held) -> tuple[Change, ...]:
    """Return what differs between two readings, flag by flag, versions aside."""
    changes = []
    old, new = before.raw, after.raw
    for key in sorted(after.flags):
        now = state(after.flags[key])
        if key not in before.flags:
            about = {name: new[key].get(name) or "" for name in ABOUT}
            changes.append(Change(key, {}, {**now, **about}))
            continue
        change = _change(key, state(before.flags[key]), now, old[key], new[key])
        if change.was != change.now:
            changes.append(change)
    return tuple(changes)


def _change(
    key: str, was: dict[str, Any], now: dict[str, Any], old: Json, new: Json
) -> Change:
    """Return the members that differ; lists of the same length as their JSON."""
    names = [name for name in was if was[name] != now[name]]
    before, after = {n: was[n] for n in names}, {n: now[n] for n in names}
    for name in ABOUT:
        if (old.get(name) or "") != (new.get(name) or ""):
            before[name], after[name] = old.get(name) or "", new.get(name) or ""
    for name, member in _LISTS.items():
        if name not in names and old[member] != new[member]:
            before[name], after[name] = _json(old[member]), _json(new[member])
    return Change(key, before, after)


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def state(flag: Flag) -> dict[str, Any]:
    """Return what a person would call the state of *flag*, as plain JSON values.

    ``values`` holds the text of each variation's value.
    """
    names = names_of(flag)
    targets = sum(len(target.keys) for target in flag.targets)
    return {
        "enabled": flag.enabled,
        "serves": split_text(flag.fallthrough, names),
        "off": names[flag.off_id],
        "targets": targets,
        "rules": len(flag.rules),
        "values": {names[one.id]: value_text(one.value) for one in flag.variations},
    }


def names_of(flag: Flag) -> dict[str, str]:
    """Return the name of each variation by id; the id where names are not unique."""
    names = [one.name for one in flag.variations]
    return {
        one.id: one.name if one.name and names.count(one.name) == 1 else one.id
        for one in flag.variations
    }


def split_text(rollout: Rollout, names: Mapping[str, str]) -> str:
    """Return what *rollout* serves: a name, or shares of several."""
    live = [share for share in rollout.shares if share.end > share.start]
    if len(live) == 1:
        return names[live[0].variation_id]
    return ", ".join(
        f"{(share.end - share.start) * 100:.4g}% {names[share.variation_id]}"
        for share in live
    )


def value_text(value: object) -> str:
    """Return a variation's value as text: booleans and JSON as JSON spells them."""
    if isinstance(value, bytes):
        return value.decode()
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


def firsts(flag: Flag) -> str:
    """Return how many targets and rules come before the fallthrough."""
    targets = sum(len(target.keys) for target in flag.targets)
    counts = ((targets, "target"), (len(flag.rules), "rule"))
    return " and ".join(
        f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts if count
    )
