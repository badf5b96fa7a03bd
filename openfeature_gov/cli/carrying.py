"""Carry a change out from the command line: sign it, make it, print it, exit."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import denylists, output
from openfeature_gov.cli.connecting import Aim, aimed
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.lending import lent
from openfeature_gov.cli.options import (
    RECORDS,
    BesideRecords,
    CheckpointFile,
    KeyFile,
    one_line,
    sealing_of,
)
from openfeature_gov.cli.tables import Rows
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.texts import FIELD_LIMIT
from openfeature_gov.targets import FlagTarget, Signed, Switch, changes
from openfeature_gov.targets.states import firsts

LONGEST = 512
Reason = Annotated[
    str,
    typer.Option(help=f"Why; goes into the record, at most {LONGEST} characters."),
]
ShortReason = Annotated[
    str,
    typer.Option(
        "--reason",
        help=f"Why; goes into the record, at most {FIELD_LIMIT} characters.",
    ),
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

    switch: Switch
    title: str
    keys: tuple[str, ...]
    tools: tuple[str, ...]
    missed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def signed(
    actor: str | None,
    reason: str,
    records: Path | str,
    sealing: Sealing | None = None,
) -> Signed:
    """Return who changes flags and why, the record database, and what seals it.

    Raises:
        typer.BadParameter: for an actor or a reason that is not one printable line.

    """
    return Signed(
        actor=signed_by(actor),
        reason=reason_of(reason),
        records=records,
        sealing=sealing,
    )


def reason_of(reason: str, *, longest: int = LONGEST) -> str:
    """Return *reason* without outer blanks; what is longer than *longest* is refused.

    Raises:
        typer.BadParameter: when it is not one printable line, or too long.

    """
    return one_line(reason, name="--reason", limit=longest)


def signed_by(actor: str | None) -> str:
    """Return who acts: *actor*, else the OS user.

    Raises:
        typer.BadParameter: when that is not one printable line.

    """
    return one_line(actor or _os_user(), name="--actor", limit=128)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise typer.BadParameter("the OS user has no name; say --actor") from None


@dataclass(frozen=True, slots=True)
class Hand:
    """Hold which flags are to be changed, by whom and why, and how it is told."""

    aim: Aim
    by: Signed
    dry_run: bool
    as_json: bool | None


@aimed
def hand(
    aim: Aim,
    *,
    reason: Reason,
    records: BesideRecords = None,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    actor: By = None,
    dry_run: DryRun = False,
    as_json: output.Json = None,
) -> Hand:
    """Return who changes which flags, as the options say.

    Raises:
        typer.BadParameter: for an actor or a reason that is not one printable line.

    """
    place = records or aim.beside(RECORDS)
    by = signed(actor, reason, place, sealing_of(key_file, checkpoint_file))
    return Hand(aim, by, dry_run, as_json)


handed = lent(hand)
"""Give a command, whose first argument is a `Hand`, the options of `hand`."""


def carry_out(scope: Scope, hand: Hand) -> None:
    """Make or try the change, print it, and leave with its exit code."""
    target, signed, dry_run = hand.aim.target, hand.by, hand.dry_run
    if dry_run:
        done = changes.tried(target, scope.switch, scope.keys)
    else:
        done = changes.made(target, scope.switch, signed, scope.keys)
    problems = list(_problems(scope, target, done))
    data = {
        "change": scope.switch.name,
        "scope": scope.switch.facts,
        "dryRun": dry_run,
        "applied": done.applied,
        "flags": [
            {"key": one.key, "from": one.was, "to": one.now} for one in done.changes
        ],
        "failed": {**_unread(scope, done), **done.failed},
        "tokens": done.tokens,
        "tools": scope.tools,
        "notReached": scope.missed,
        "problems": problems,
        "actor": signed.actor,
        "reason": signed.reason,
        next(iter(target.facts)): target.name,
        "revisionBefore": done.planned.before.snapshot.revision,
        "revisionAfter": done.held.snapshot.revision
        if done.planned.changes
        else done.planned.before.snapshot.revision,
        "record": done.record,
    }

    _tell(scope, hand, problems, data)
    if done.unrecorded:
        raise typer.Exit(Exit.UNEXPECTED)
    if (done.unmet and not dry_run) or data["failed"] or scope.missed or scope.left:
        raise typer.Exit(Exit.REFUSED)


def _tell(scope: Scope, hand: Hand, problems: list[str], data: dict[str, Any]) -> None:
    """Print what was done; what cannot be printed was done all the same.

    Raises:
        typer.Exit: when it cannot be printed.

    """

    def render(console: Console) -> None:
        _render(console, scope, hand.aim.target.name, data)

    try:
        for line in problems:
            output.warn(line)
        output.show(data, render, as_json=hand.as_json)
    except OSError as error:
        stands = "the change was made" if data["applied"] else "nothing was changed"
        with suppress(OSError):
            output.warn(f"{stands}, but cannot be printed: {error.strerror}")
        raise typer.Exit(Exit.UNEXPECTED) from None


def _unread(scope: Scope, done: changes.Done) -> dict[str, str]:
    """Return by key why a flag of the change could not be read, so was left alone."""
    unread = done.planned.before.unread
    return {key: unread[key] for key in scope.keys if key in unread}


def _problems(scope: Scope, target: FlagTarget, done: changes.Done) -> Iterator[str]:
    yield from scope.notes
    yield from done.notes
    yield from done.unmet
    for key, why in done.failed.items():
        yield f'flag "{key}" was NOT changed as planned: {why}'
    unread = _unread(scope, done)
    for key, why in unread.items():
        yield f'flag "{key}" was NOT changed, because it cannot be read: {why}'
    if done.unrecorded:
        yield f"took effect but is not recorded: {done.unrecorded}"
    if scope.missed:
        missed = ", ".join(scope.missed)
        yield f"not reached, because no flag turns them off: {missed}"
    for key in scope.left:
        yield (
            f'flag "{key}" was left: it does not serve "off" when it is off; now: gov '
            f"flags set {key} off --clear-targeting --reason ..."
        )
    if scope.switch.name == "kill":
        for key in scope.keys:
            if key not in done.held.flags and key not in unread:
                yield (
                    f'flag "{key}" is not in {target.name}, so it counts as its '
                    "strictest value already"
                )
    yield from _left_over(scope, done)


def _left_over(scope: Scope, done: changes.Done) -> Iterator[str]:
    """Yield what a release does not reach."""
    after = done.held
    if scope.switch.name == "unkill" and "tool" in scope.switch.facts:
        left = denylists.still_denied(after.snapshot, scope.keys[0], scope.tools[0])
        yield from (f"{scope.tools[0]} is still stopped by {one!r}" for one in left)
    if scope.switch.name == "set":
        flag = after.flags[scope.keys[0]]
        if flag.rules or flag.targets:
            yield (
                f"{firsts(flag)} of {flag.key} still come first (--clear-targeting "
                "removes them)"
            )


FOLDED = frozenset({"key", "was", "now"})
TITLES = {
    "kill": ("✖ killed", "red"),
    "unkill": ("✔ unkilled", "green"),
    "set": ("✔ set", "green"),
}


def _render(console: Console, scope: Scope, place: str, data: dict[str, Any]) -> None:
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
        ("flags", f"{place}  {before} → {after}"),
        ("record", data["record"] or _no_record(data)),
    ]
    output.facts(console, [(name, value) for name, value in lines if value])


def _changed(flags: list[dict[str, Any]], style: str) -> Rows:
    """Return one row a difference: the flag, what was, what is now."""
    rows: list[tuple[output.Cell, ...]] = []
    for change in flags:
        key = change["key"]
        for was, now in spelled(change["from"], change["to"]):
            name = Text(f"  {output.safe(key)}", "bold")
            rows.append((name, was, "→", Text(output.safe(now), style)))
            key = ""
    names = ("key", "was", "", "now")
    return output.columns(*names, rows=rows, fold=FOLDED, headed=False)


def _no_record(data: dict[str, Any]) -> str:
    if data["dryRun"] or not data["applied"]:
        return ""
    return "none: it could not be recorded"


def spelled(was: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a pair of texts for each difference: what was, what is now."""
    pairs: list[tuple[str, str]] = []
    for name, old in was.items():
        new = now[name]
        if name == "values":
            pairs += [
                (f"{n}: {old.get(n, '(new)')}", new.get(n, "(gone)"))
                for n in {**old, **new}
                if old.get(n) != new.get(n)
            ]
        elif name == "enabled":
            pairs.append((_switched(old), _switched(new)))
        else:
            pairs.append((f"{name} {old}", str(new)))
    return pairs


def _switched(enabled: bool) -> str:
    return "on" if enabled else "off"
