"""Put a tool on a denylist flag, in every variation, and take it off again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import orjson

from openfeature.contrib.provider.featbit.authoring import Json, set_values
from openfeature.contrib.provider.featbit.flagset import Value
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature_gov.cli.switches import fit, gone
from openfeature_gov.controls.denylist import entries_of
from openfeature_gov.governance import skeleton
from openfeature_gov.targets import Switch
from openfeature_gov.targets.states import names_of


def deny(key: str, tool: str) -> Switch:
    """Add *tool* to every variation of the denylist flag *key*."""
    return Switch(
        "kill",
        partial(_relist, key, partial(_with, tool)),
        partial(_unlisted, key, tool),
        {"tool": tool},
        widens=False,
    )


def deny_on_each(keys: Sequence[str], tool: str) -> Switch:
    """Add *tool* to every variation of every denylist flag of *keys*."""
    each = [deny(key, tool) for key in keys]

    def edit(document: Json, snapshot: Snapshot, at: str) -> Json:
        for one in each:
            document = one.edit(document, snapshot, at)
        return document

    def unmet(snapshot: Snapshot) -> tuple[str, ...]:
        return tuple(line for one in each for line in one.unmet(snapshot))

    return Switch("kill", edit, unmet, {"tool": tool}, widens=False)


def lift(key: str, tool: str) -> Switch:
    """Remove *tool* from every variation of the denylist flag *key*."""
    return Switch(
        "unkill",
        partial(_relist, key, partial(_without, tool)),
        partial(_listed, key, tool),
        {"tool": tool},
        widens=True,
    )


def still_denied(snapshot: Snapshot, key: str, tool: str) -> list[str]:
    """Return the entries of *key*, its off variation aside, that still stop *tool*."""
    flag = fit(snapshot, key, "denylist")
    entries: list[str] = []
    for one in flag.variations if flag is not None else ():
        if flag is not None and one.id != flag.off_id:
            found = _entries(one.value)
            entries += ["*"] if found is None else found
    folded = skeleton(tool)
    hits = {
        entry
        for entry in entries
        if skeleton(entry).endswith("*") and folded.startswith(skeleton(entry)[:-1])
    }
    return sorted(hits)


def _relist(
    key: str,
    change: Callable[[list[str]], list[str]],
    document: Json,
    snapshot: Snapshot,
    at: str,
) -> Json:
    def edited(text: str) -> str:
        value = orjson.loads(text)
        entries = entries_of(value)
        if entries is None:  # malformed already stops every tool
            return text
        changed = change(entries)
        if changed == entries:
            return text
        whole = {"tools": changed} if isinstance(value, dict) else changed
        return orjson.dumps(whole).decode()

    if fit(snapshot, key, "denylist") is None:
        return document
    edit = set_values(document, key, edited, at=at)
    same = _values(edit, key) == _values(document, key)
    return document if same else edit


def _values(document: Json, key: str) -> list[str]:
    return [
        one["value"]
        for flag in document["data"]["featureFlags"]
        if flag["key"] == key
        for one in flag["variations"]
    ]


def _with(tool: str, entries: list[str]) -> list[str]:
    return entries if _holds(entries, tool) else [*entries, tool]


def _without(tool: str, entries: list[str]) -> list[str]:
    folded = skeleton(tool)
    return [entry for entry in entries if skeleton(entry) != folded]


def _holds(entries: list[str], tool: str) -> bool:
    return skeleton(tool) in map(skeleton, entries)


def _entries(value: Value) -> list[str] | None:
    return entries_of(orjson.loads(value)) if isinstance(value, bytes) else None


def _unlisted(key: str, tool: str, snapshot: Snapshot) -> tuple[str, ...]:
    flag = fit(snapshot, key, "denylist")
    if flag is None:
        return ()
    names = names_of(flag)
    return tuple(
        f'variation "{names[one.id]}" of "{key}" does not name {tool}'
        for one in flag.variations
        if (entries := _entries(one.value)) is not None and not _holds(entries, tool)
    )


def _listed(key: str, tool: str, snapshot: Snapshot) -> tuple[str, ...]:
    flag = fit(snapshot, key, "denylist")
    if flag is None:
        return (gone(key, "denylist"),)
    names = names_of(flag)
    return tuple(
        f'variation "{names[one.id]}" of "{key}" still names {tool}'
        for one in flag.variations
        if _holds(_entries(one.value) or [], tool)
    )
