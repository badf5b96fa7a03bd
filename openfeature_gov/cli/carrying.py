"""Carry a change out from the command line: sign it, make it, print it, exit."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openfeature_gov.cli import changes, denylists, output, switches
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.flagfile import firsts
from openfeature_gov.cli.options import RECORDS, one_line

Reason = Annotated[
    str, typer.Option(help="Why; goes into the record, at most 512 characters.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show it, change nothing.")]
By = Annotated[
    str | None,
    typer.Option("--actor", envvar="GOV_ACTOR", help="Who (default: the OS user)."),
]


@dataclass(frozen=True, slots=True)
class Scope:
    """Say what a kill or its reversal is about: its switch, and whom it reaches.

    *missed* are tools that no flag turns off, *left* flags that cannot be turned off;
    *notes* are what else a person must know.
    """

    switch: switches.Switch
    title: str
    keys: tuple[str, ...]
    tools: tuple[str, ...]
    missed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def signed(
    actor: str | None, reason: str, records: Path | None, flags: Path
) -> changes.Signed:
    """Return who changes *flags* and why, and the record database to use.

    Raises:
        typer.BadParameter: for an actor or a reason that is not one printable line.

    """
    return changes.Signed(
        actor=one_line(actor or _os_user(), name="--actor", limit=128),
        reason=one_line(reason, name="--reason", limit=512),
        records=records or flags.with_name(RECORDS),
    )


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise typer.BadParameter("the OS user has no name; say --actor") from None


def carry_out(
    scope: Scope,
    flags: Path,
    signed: changes.Signed,
    dry_run: bool,
    as_json: bool | None,
) -> None:
    """Make or try the change, print it, and leave with its exit code."""
    if dry_run:
        done = changes.tried(flags, scope.switch)
    else:
        done = changes.made(flags, scope.switch, signed)
    for line in (problems := _problems(scope, done)):
        output.warn(line)
    data = {
        "change": scope.switch.name,
        "scope": scope.switch.facts,
        "dryRun": dry_run,
        "applied": done.applied,
        "flags": [
            {"key": one.key, "from": one.was, "to": one.now}
            for one in done.planned.changes
        ],
        "tools": scope.tools,
        "notReached": scope.missed,
        "problems": problems,
        "actor": signed.actor,
        "reason": signed.reason,
        "file": str(flags),
        "revisionBefore": done.planned.before.snapshot.revision,
        "revisionAfter": _revision(done),
        "record": done.record,
    }
    output.show(data, lambda console: _render(console, scope, data), as_json=as_json)
    if done.unrecorded:
        raise typer.Exit(Exit.UNEXPECTED)
    if (done.unmet and not dry_run) or scope.missed or scope.left:
        raise typer.Exit(Exit.REFUSED)


def _revision(done: changes.Done) -> str:
    planned = done.planned
    return planned.revision if planned.changes else planned.before.snapshot.revision


def _problems(scope: Scope, done: changes.Done) -> list[str]:
    problems = [*scope.notes, *done.unmet]
    if done.unrecorded:
        problems.append(f"took effect but is not recorded: {done.unrecorded}")
    if scope.missed:
        missed = ", ".join(scope.missed)
        problems.append(f"not reached, because no flag turns them off: {missed}")
    problems += [
        f'flag "{key}" was left: it does not serve "off" when it is off; now: gov '
        f"flags set {key} off --clear-targeting --reason ..."
        for key in scope.left
    ]
    after = done.planned.after
    if scope.switch.name == "kill":
        problems += [
            f'flag "{key}" is not in the file, so it counts as its strictest value '
            "already"
            for key in scope.keys
            if key not in after.flags
        ]
    if scope.switch.name == "unkill" and "tool" in scope.switch.facts:
        left = denylists.still_denied(after.snapshot, scope.keys[0], scope.tools[0])
        problems += [f"{scope.tools[0]} is still stopped by {one!r}" for one in left]
    if scope.switch.name == "set":
        flag = after.flags[scope.keys[0]]
        if flag.rules or flag.targets:
            problems.append(
                f"{firsts(flag)} of {flag.key} still come first (--clear-targeting "
                "removes them)"
            )
    return problems


FOLDED = frozenset({"key", "was", "now"})
TITLES = {
    "kill": ("✖ killed", "red"),
    "unkill": ("✔ unkilled", "green"),
    "set": ("✔ set", "green"),
}


def _render(console: Console, scope: Scope, data: dict[str, Any]) -> None:
    word, style = TITLES[scope.switch.name]
    if data["dryRun"]:
        word = f"◌ dry run, nothing changed: {scope.switch.name}"
    elif not data["applied"]:
        word = f"= {scope.switch.name}: nothing to change"
    console.print(Text(word, f"bold {style}"), output.safe(scope.title))
    if data["flags"]:
        console.print(_changed(data["flags"], style))
    before, after = data["revisionBefore"][:12], data["revisionAfter"][:12]
    lines = [
        ("tools", ", ".join(data["tools"])),
        ("reason", data["reason"]),
        ("actor", data["actor"]),
        ("file", f"{data['file']}  {before} → {after}"),
        ("record", data["record"] or _no_record(data)),
    ]
    output.facts(console, [(name, value) for name, value in lines if value])


def _changed(flags: list[dict[str, Any]], style: str) -> Table:
    """Return one row a difference: the flag, what was, what is now."""
    rows: list[tuple[output.Cell, ...]] = []
    for change in flags:
        key = change["key"]
        for was, now in _pairs(change["from"], change["to"]):
            name = Text(f"  {output.safe(key)}", "bold")
            rows.append((name, was, "→", Text(output.safe(now), style)))
            key = ""
    table = output.columns("key", "was", "", "now", rows=rows, fold=FOLDED)
    table.show_header = False
    return table


def _no_record(data: dict[str, Any]) -> str:
    if data["dryRun"] or not data["applied"]:
        return ""
    return "none: it could not be recorded"


def _pairs(was: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, old in was.items():
        new = now[name]
        if name == "values":
            pairs += [(f"{n}: {old[n]}", new[n]) for n in old if old[n] != new[n]]
        elif name == "enabled":
            pairs.append((_switched(old), _switched(new)))
        else:
            pairs.append((f"{name} {old}", str(new)))
    return pairs


def _switched(enabled: bool) -> str:
    return "on" if enabled else "off"
