"""What the flags of a file are for, as far as they show it without contracts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from openfeature.contrib.provider.featbit.flagset import Flag
from openfeature_gov.cli.switches import STRICTEST, Keys, off_value
from openfeature_gov.controls.denylist import entries_of
from openfeature_gov.controls.mode import VARIANTS

GLOBAL = "global"
"""The last part of the key that `gov init` gives to a global switch."""
Flags = Mapping[str, Flag]


@dataclass(frozen=True, slots=True)
class Guess:
    """Say which flags seem to stop everything.

    *notes* say what that leaves open; *left* are mode flags that no switch turns off.
    """

    keys: Keys
    notes: tuple[str, ...]
    left: tuple[str, ...] = ()


def everything(flags: Flags) -> Guess:
    """Return the flags that stop everything, going by their shape alone.

    The global switches, if every boolean flag that is false when off is named as one.
    Otherwise one of them may belong to something else: then all mode flags.
    """
    switches, modes = switches_in(flags), modes_in(flags)
    if switches and all(key.rsplit(".", 1)[-1] == GLOBAL for key in switches):
        keys = tuple((key, "switch") for key in switches)
        return Guess(keys, _spared_modes(flags, modes))
    left = [key for key in modes if off_value(flags[key]) != STRICTEST["mode"]]
    keys = tuple((key, "mode") for key in modes if key not in left)
    return Guess(keys, _spared_switches(flags, switches), tuple(left))


def switches_in(flags: Flags) -> list[str]:
    """Return the boolean flags that serve false when they are off.

    Approval and fallback flags serve true then.
    """
    return [
        key
        for key, flag in flags.items()
        if flag.kind == "boolean" and off_value(flag) is STRICTEST["switch"]
    ]


def modes_in(flags: Flags) -> list[str]:
    """Return the string flags that can serve nothing but rungs of the ladder."""
    return [
        key
        for key, flag in flags.items()
        if flag.kind == "string"
        and all(one.value in VARIANTS for one in flag.variations)
    ]


def denylists_in(flags: Flags) -> list[str]:
    """Return the json flags whose every variation reads as a denylist."""
    return [
        key
        for key, flag in flags.items()
        if flag.kind == "json"
        and all(
            isinstance(one.value, bytes)
            and entries_of(orjson.loads(one.value)) is not None
            for one in flag.variations
        )
    ]


def _spared_modes(flags: Flags, modes: list[str]) -> tuple[str, ...]:
    live = ", ".join(key for key in modes if flags[key].enabled)
    if not live:
        return ()
    note = (
        f"mode flags were left on: {live}; a tool whose contract names no globalFlag "
        "is stopped only by these"
    )
    return (note,)


def _spared_switches(flags: Flags, switches: list[str]) -> tuple[str, ...]:
    notes = ["it is undone by workflow, once the contracts load: gov flags unkill"]
    live = ", ".join(key for key in switches if flags[key].enabled)
    if live:
        notes.append(
            f"boolean flags were left on: {live}; if one is your global flag: gov "
            "flags set KEY false --clear-targeting --reason ..."
        )
    return tuple(notes)
