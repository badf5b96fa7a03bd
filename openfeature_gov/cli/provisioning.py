"""Make flags what governance contracts need them to be, and nothing wider. Pure.

Only what nobody released by hand is touched: a flag that is missing comes into being
at its contract's default, a legal value that is missing is added, an off variation
that is not the strictest value is set to it, and the flag says whose it is. What a
flag serves to whom, and whether it is on, stays as people set it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature_gov.cli import drafts, lint
from openfeature_gov.cli.switches import TYPES, named_flags
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.ladder import Mode
from openfeature_gov.targets import Held, Switch

MARK = re.compile(r"\s*\[gov\][^\[\]]*$")
"""The part of a description that is ours: its end, from this mark on."""
TAG, OWNER, REVIEW = "gov", "gov-owner:", "gov-review:"
LISTED = 8
"""How many tools a description names."""


@dataclass(slots=True)
class Wanted:
    """Say what the contracts want of one flag; *kinds* should be one.

    *default* is the lowest defaultMode of its tools, *review* the earliest review date.
    """

    key: str
    kinds: dict[str, None] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    owners: dict[str, None] = field(default_factory=dict)
    default: Mode = Mode.AUTONOMOUS
    review: date | None = None

    @property
    def kind(self) -> str:
        """Return the kind, the first one where contracts disagree."""
        return next(iter(self.kinds))

    def add(self, rules: GovernanceContract, kind: str) -> None:
        """Take in what one contract wants."""
        self.kinds[kind] = None
        self.tools.append(rules.tool)
        self.owners[" ".join(rules.owner.split())] = None
        self.default = min(self.default, rules.default_mode)
        dates = [one for one in (self.review, rules.review_date) if one is not None]
        self.review = min(dates, default=None)

    def described(self, theirs: str) -> str:
        """Return the description *theirs* with our end on it, made or renewed."""
        tools = self.tools[:LISTED]
        more = len(self.tools) - len(tools)
        named = ", ".join(tools) + (f" and {more} more" if more else "")
        parts = [f"{self.kind} of {named}", f"owner {' and '.join(self.owners)}"]
        parts.append(f"review {self.review or 'not planned'}")
        ours = re.sub(r"[\[\]]", "", "; ".join(parts))
        return f"{MARK.sub('', theirs)} [gov] {ours}".strip()

    def tagged(self, theirs: Sequence[str]) -> list[str]:
        """Return the tags *theirs* with ours in place of older ones."""
        kept = [
            tag for tag in theirs if tag != TAG and not tag.startswith((OWNER, REVIEW))
        ]
        ours = [f"{OWNER}{_slug(owner)}" for owner in self.owners]
        ours += [] if self.review is None else [f"{REVIEW}{self.review}"]
        return list(dict.fromkeys([*kept, TAG, *ours]))


def wanted(governance: Governance) -> dict[str, Wanted]:
    """Return by key what *governance* wants of each flag that it names."""
    found: dict[str, Wanted] = {}
    for rules in governance:
        for key, kind in named_flags(rules).items():
            found.setdefault(key, Wanted(key)).add(rules, kind)
    return found


def provision(flags: Iterable[Wanted]) -> Switch:
    """Return the change that makes and mends *flags*."""
    listed = list(flags)
    return Switch(
        "provision",
        partial(_reconciled, listed),
        partial(_missing, listed),
        {"flags": [one.key for one in listed]},
        widens=True,
    )


def obstacles(flags: Iterable[Wanted], held: Held) -> dict[str, str]:
    """Return by key why a flag cannot be made or mended by any change of ours."""
    return {one.key: why for one in flags if (why := _obstacle(one, held))}


def _obstacle(want: Wanted, held: Held) -> str:
    if len(want.kinds) > 1:
        return f"contracts use it as {' and '.join(want.kinds)} flag; use two keys"
    if want.key in held.unread:
        return f"cannot be read: {held.unread[want.key]}"
    if want.key in held.snapshot.flag_set.archived_flags:
        return "is archived, so it counts as its strictest value; restore it or rename"
    flag, needed = held.flags.get(want.key), TYPES[want.kind]
    if flag is not None and flag.kind != needed:
        return (
            f"is {flag.kind}, must be {needed}, and FeatBit cannot change that: name "
            "another key in the contracts"
        )
    return ""


def _reconciled(
    flags: list[Wanted], document: Json, snapshot: Snapshot, at: str
) -> Json:
    edited = copy.deepcopy(document)
    live = {
        one["key"]: one
        for one in edited["data"]["featureFlags"]
        if one["key"] in snapshot.flag_set.flags
    }
    for want in flags:
        if want.key in live:
            _mend(live[want.key], want)
            continue
        new = drafts.new_flag(want.kind, want.key, mode=want.default, at=at)
        new["description"], new["tags"] = want.described(""), want.tagged([])
        edited["data"]["featureFlags"].append(new)
    return edited


def missing_values(flag: Json, kind: str) -> list[str]:
    """Return the texts of the values that a flag of *kind* needs and lacks."""
    there = {one["value"] for one in flag["variations"]}
    return [value for value in _needed(kind) if value not in there]


def _needed(kind: str) -> tuple[str, ...]:
    """Return the texts of the values that a flag of *kind* needs, strictest first."""
    model = drafts.new_flag(kind, kind, at="")
    values = {one["id"]: one["value"] for one in model["variations"]}
    strictest = values.pop(model["disabledVariationId"])
    # The other lists of a denylist are for people to write.
    return (strictest,) if kind == "denylist" else (strictest, *values.values())


def _mend(flag: Json, want: Wanted) -> None:
    for value in missing_values(flag, want.kind):
        flag["variations"].append(_variation(value, flag["variations"]))
    values = {one["id"]: one["value"] for one in flag["variations"]}
    if not _strict(want.kind, values[flag["disabledVariationId"]]):
        flag["disabledVariationId"] = next(
            one for one, value in values.items() if value == _needed(want.kind)[0]
        )
    flag["description"] = want.described(flag.get("description") or "")
    flag["tags"] = want.tagged(flag.get("tags") or [])


def _variation(value: str, taken: list[Json]) -> Json:
    """Return a variation for *value* under a name that nobody uses."""
    plain = value if value.isidentifier() else "everything"
    names = {one[member] for one in taken for member in ("id", "name")}
    name = plain if plain not in names else f"{TAG}-{plain}"
    while name in names:
        name += "-"
    return {"id": name, "name": name, "value": value}


def _strict(kind: str, value: str) -> bool:
    """Tell whether the text *value* of a variation is the strictest of its kind."""
    read = value if kind == "mode" else json.loads(value)
    return lint.strictest(lint.KIND[kind], read)


def _missing(flags: list[Wanted], snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(_lacking(flags, snapshot))


def _lacking(flags: list[Wanted], snapshot: Snapshot) -> Iterator[str]:
    for want in flags:
        if want.key not in snapshot.flag_set.flags:
            yield f'flag "{want.key}" is not there'


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.@-]+", "-", text).strip("-")[:100]
