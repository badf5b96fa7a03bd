"""`gov flags`: list, set, kill and unkill flags, of one file or in FeatBit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature.contrib.provider.featbit.flagset import Flag
from openfeature_gov.cli import output, switches
from openfeature_gov.cli.carrying import Hand, Scope, carry_out, handed
from openfeature_gov.cli.connecting import Aim, aimed
from openfeature_gov.targets.states import firsts, state

app = typer.Typer(
    no_args_is_help=True,
    help="List, set, kill and unkill flags, of one file or in FeatBit.",
)


@app.command("list")
@aimed
def list_flags(
    aim: Aim,
    *,
    as_json: output.Json = None,
) -> None:
    """Show every live flag: what it serves, to whom, and what it serves when off."""
    target = aim.target
    held = target.read()
    for key, why in held.unread.items():
        output.warn(f'flag "{key}" is not shown: {why}')
    data = {
        next(iter(target.facts)): target.name,
        "revision": held.snapshot.revision,
        "flags": [_about(flag) for flag in held.flags.values()],
        "unread": held.unread,
    }

    def render(console: Console) -> None:
        names = ("KEY", "TYPE", "STATE", "SERVES", "WHEN OFF", "UPDATED (UTC)")
        rows = [_row(flag) for flag in held.flags.values()]
        fold = frozenset({"KEY", "SERVES"})
        console.print(output.columns(*names, rows=rows, fold=fold))
        revision = held.snapshot.revision[:12]
        console.print(Text(f"\n{len(rows)} flags · revision {revision}", "dim"))

    output.show(data, render, as_json=as_json)


@app.command("set")
@handed
def set_flag(
    hand: Hand,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Flag key.")],
    variant: Annotated[
        str, typer.Argument(metavar="VARIANT", help="Name, id or value of a variation.")
    ],
    *,
    clear_targeting: Annotated[
        bool, typer.Option("--clear-targeting", help="Remove all targets and rules.")
    ] = False,
    turn_on: Annotated[
        bool, typer.Option("--turn-on", help="Also if the flag is off now.")
    ] = False,
) -> None:
    """Let a flag serve VARIANT to everyone whom no target or rule names.

    Recorded first: a change that cannot be recorded is not made.
    """
    switch = switches.release(key, variant, clear=clear_targeting, enable=turn_on)
    scope = Scope(switch, f"{key} = {variant}", (key,), ())
    carry_out(scope, hand)


def _about(flag: Flag) -> dict[str, Any]:
    facts = state(flag)
    stamp = output.moment(flag.version * 1000).replace(" ", "T")
    return {
        "key": flag.key,
        "type": flag.kind,
        **facts,
        "updatedAt": f"{stamp}Z",
        "version": flag.version,
    }


def _row(flag: Flag) -> Sequence[output.Cell]:
    facts = state(flag)
    serves = facts["serves"] if flag.enabled else facts["off"]
    if flag.enabled and (flag.rules or flag.targets):
        serves = f"{firsts(flag)}, else {serves}"
    on = Text("on", "green") if flag.enabled else Text("off", "bold red")
    updated = output.moment(flag.version * 1000)[:16]
    return flag.key, flag.kind, on, serves, Text(facts["off"], "dim"), updated
