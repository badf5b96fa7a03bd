"""`gov flags`: list, set, kill and unkill flags, of one file or in FeatBit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature.contrib.provider.featbit.flagset import Flag
from openfeature_gov.cli import output, switches
from openfeature_gov.cli.carrying import By, DryRun, Reason, Scope, carry_out, signed
from openfeature_gov.cli.connecting import beside, target_of
from openfeature_gov.cli.options import (
    FLAGS,
    RECORDS,
    ApiUrl,
    BesideRecords,
    CheckpointFile,
    Env,
    FeatBit,
    Flags,
    KeyFile,
    Project,
    TokenFile,
    sealing_of,
)
from openfeature_gov.targets.states import firsts, state

app = typer.Typer(
    no_args_is_help=True,
    help="List, set, kill and unkill flags, of one file or in FeatBit.",
)


@app.command("list")
def list_flags(
    context: typer.Context,
    *,
    flags: Flags = Path(FLAGS),
    featbit: FeatBit = False,
    api_url: ApiUrl = "",
    token_file: TokenFile = None,
    project: Project = "",
    env: Env = "",
    as_json: output.Json = None,
) -> None:
    """Show every live flag: what it serves, to whom, and what it serves when off."""
    target = target_of(context, flags, featbit, api_url, token_file, project, env)
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
def set_flag(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Flag key.")],
    variant: Annotated[
        str, typer.Argument(metavar="VARIANT", help="Name, id or value of a variation.")
    ],
    *,
    reason: Reason,
    flags: Flags = Path(FLAGS),
    featbit: FeatBit = False,
    api_url: ApiUrl = "",
    token_file: TokenFile = None,
    project: Project = "",
    env: Env = "",
    clear_targeting: Annotated[
        bool, typer.Option("--clear-targeting", help="Remove all targets and rules.")
    ] = False,
    turn_on: Annotated[
        bool, typer.Option("--turn-on", help="Also if the flag is off now.")
    ] = False,
    records: BesideRecords = None,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    actor: By = None,
    dry_run: DryRun = False,
    as_json: output.Json = None,
) -> None:
    """Let a flag serve VARIANT to everyone whom no target or rule names.

    Recorded first: a change that cannot be recorded is not made.
    """
    switch = switches.release(key, variant, clear=clear_targeting, enable=turn_on)
    scope = Scope(switch, f"{key} = {variant}", (key,), ())
    place = records or beside(flags, featbit, RECORDS)
    by = signed(actor, reason, place, sealing_of(key_file, checkpoint_file))
    target = target_of(context, flags, featbit, api_url, token_file, project, env)
    carry_out(scope, target, by, dry_run, as_json)


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
