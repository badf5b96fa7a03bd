"""`gov featbit`: make the flags that contracts name, and see whether all is well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import doctor, following, output, provisioning
from openfeature_gov.cli.carrying import By, DryRun, Reason, signed, spelled
from openfeature_gov.cli.connecting import environment_of
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.options import (
    RECORDS,
    ApiUrl,
    CheckpointFile,
    Env,
    KeyFile,
    Project,
    Records,
    TokenFile,
    sealing_of,
)
from openfeature_gov.cli.provisioning import Wanted
from openfeature_gov.embedded import load_governance
from openfeature_gov.targets import changes

app = typer.Typer(no_args_is_help=True, help="Look after the flags in FeatBit.")

Contracts = Annotated[
    Path,
    typer.Argument(
        metavar="GOVERNANCE", help="Governance contracts (YAML).", readable=False
    ),
]


@app.callback()
def _group() -> None:
    """Look after the flags in FeatBit."""


app.command("doctor")(doctor.doctor)
app.command("follow")(following.follow)


@app.command("provision")
def provision(
    governance: Contracts,
    *,
    reason: Reason,
    api_url: ApiUrl = "",
    token_file: TokenFile = None,
    project: Project = "",
    env: Env = "",
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    actor: By = None,
    dry_run: DryRun = False,
    as_json: output.Json = None,
) -> None:
    """Create the flags that GOVERNANCE names, and mend what is unsafe about them.

    Never changes what a flag serves to whom, nor whether it is on. A second run changes
    nothing. Exit 4 when a flag could not be made what its contracts need.
    """
    by = signed(actor, reason, records, sealing_of(key_file, checkpoint_file))
    wanted = provisioning.wanted(load_governance(governance))
    target = environment_of(api_url, token_file, project, env)
    problems = provisioning.obstacles(wanted.values(), target.read(wanted))
    able = [want for key, want in wanted.items() if key not in problems]
    switch = provisioning.provision(able)
    keys = [want.key for want in able]
    if dry_run:
        done = changes.tried(target, switch, keys)
    else:
        done = changes.made(target, switch, by, keys)
    problems |= done.failed
    for line in (*done.notes, *done.unmet):
        output.warn(line)
    for key, why in problems.items():
        output.warn(f'flag "{key}": {why}')
    data = {
        "featbit": target.facts["featbit"],
        "dryRun": dry_run,
        "applied": done.applied,
        "flags": [_about(want, done, problems) for want in wanted.values()],
        "tokens": done.tokens,
        "actor": by.actor,
        "reason": by.reason,
        "record": done.record,
    }
    output.show(data, lambda console: _render(console, data), as_json=as_json)
    if problems or (done.unmet and not dry_run):
        raise typer.Exit(Exit.REFUSED)


def _about(
    want: Wanted, done: changes.Done, problems: Mapping[str, str]
) -> dict[str, Any]:
    change = {one.key: one for one in done.changes}.get(want.key)
    action = "none" if change is None else "update" if change.was else "create"
    return {
        "key": want.key,
        "kind": want.kind,
        "tools": want.tools,
        "action": "problem" if want.key in problems else action,
        "from": {} if change is None else change.was,
        "to": {} if change is None else change.now,
        "problem": problems.get(want.key, ""),
    }


MARKS = {
    "none": ("= as it should be", "dim"),
    "create": ("+ create", "green"),
    "update": ("~ update", "yellow"),
    "problem": ("✖ problem", "red"),
}


def _render(console: Console, data: dict[str, Any]) -> None:
    rows: list[tuple[output.Cell, ...]] = []
    for flag in data["flags"]:
        mark, style = MARKS[flag["action"]]
        lines = [flag["problem"]] if flag["problem"] else _lines(flag)
        first = (flag["key"], flag["kind"], Text(mark, style))
        for at, line in enumerate(lines or [""]):
            rows.append((*(("", "", "") if at else first), line))
    names = ("FLAG", "KIND", "ACTION", "DIFFERENCE")
    fold = frozenset({"FLAG", "DIFFERENCE"})
    console.print(output.columns(*names, rows=rows, fold=fold))
    word, style = ("✔ provisioned", "green")
    if data["dryRun"]:
        word, style = ("◌ dry run, nothing changed", "cyan")
    elif not data["applied"]:
        word, style = ("= nothing to change", "green")
    console.print()
    console.print(Text(word, f"bold {style}"), data["featbit"])
    told = [(name, data[name]) for name in ("reason", "actor", "record") if data[name]]
    output.facts(console, told)


def _lines(flag: dict[str, Any]) -> list[str]:
    if flag["from"]:
        return [f"{was} → {now}" for was, now in spelled(flag["from"], flag["to"])]
    return [
        f"{name} {_value(value)}"
        for name, value in flag["to"].items()
        if name not in {"targets", "rules", "enabled"} and value
    ]


def _value(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list | dict) else str(value)
