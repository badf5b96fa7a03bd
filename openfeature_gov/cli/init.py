"""`gov init`: write a governance file and a flag file, ready to run and safe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.cli import drafts, lint, output
from openfeature_gov.cli.options import (
    CONTRACTS,
    FLAGS,
    RECORDS,
    one_line,
)
from openfeature_gov.embedded import load_governance
from openfeature_gov.governance import TOOL_NAME, skeleton
from openfeature_gov.ladder import RiskClass
from openfeature_gov.targets import RefusedError
from openfeature_gov.targets.file import read_flags

RISKS = ", ".join(RiskClass)
EXAMPLE = "gov init refund:external_effect --workflow support --owner payments"


class Init(TyperCommand):
    """The command: shows a whole one to whoever leaves out a part."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return what is left of *args*.

        Raises:
            typer.BadParameter: for what is refused or missing, then with an example.

        """
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if not error.message:  # what is missing has no other words
                error.message = f"For example:\n{EXAMPLE}"
            raise


def init(
    tools: Annotated[
        list[str],
        typer.Argument(metavar="TOOL[:RISK]...", help=f"RISK is one of {RISKS}."),
    ],
    *,
    workflow: Annotated[str, typer.Option(help="What the agent does with them.")],
    owner: Annotated[str, typer.Option(help="Who answers for the tools.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where to write.")] = Path(),
    environment: Annotated[
        str, typer.Option(help="Environment that the flags are marked with.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that exist.")
    ] = False,
    as_json: output.Json = None,
) -> None:
    """Write governance.yaml and flags.json for TOOLs: recorded, but nothing runs yet.

    A tool whose risk class is not known counts as irreversible.
    """
    workflow = one_line(workflow, name="--workflow", limit=200)
    owner = one_line(owner, name="--owner", limit=200)
    if environment:
        environment = one_line(environment, name="--environment", limit=128)
    planned = _planned(tools)
    shared = drafts.shared_flags(workflow)
    stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    paths = folder / CONTRACTS, folder / FLAGS
    text = drafts.governance_text(planned, shared, workflow=workflow, owner=owner)
    flags = drafts.flags_document(planned, shared, environment=environment, at=stamp)
    with ExitStack() as stack:
        drafted = [_aside(path, stack) for path in paths]
        try:
            drafted[0].write_text(text, "utf-8")
            write_document(drafted[1], flags)
        except OSError as error:
            # The name of a draft says nothing to anybody.
            place = str(folder.absolute())
            raise OSError(error.errno, error.strerror, place) from error
        _check(drafted[0], drafted[1], [tool.name for tool in planned])
        _land(drafted, paths, force=force)
    for tool in planned:
        if tool.note:
            output.warn(f"{tool.name}: {tool.note}")
    _report(planned, paths, as_json=as_json)


def _planned(arguments: Sequence[str]) -> list[drafts.Planned]:
    planned: list[drafts.Planned] = []
    seen: dict[str, str] = {}
    for argument in arguments:
        name, colon, word = argument.partition(":")
        if not TOOL_NAME.fullmatch(name):
            raise typer.BadParameter(
                f"{name!r} is no tool name: 1 to 128 letters, digits or _ . / - that "
                "start with a letter, digit or _"
            )
        if skeleton(name) in seen:
            raise typer.BadParameter(f"{name!r} looks like {seen[skeleton(name)]!r}")
        seen[skeleton(name)] = name
        key = drafts.flag_key(name, "mode", [tool.mode_flag for tool in planned])
        risk, note = _risk(word if colon else "")
        planned.append(drafts.Planned(name, risk, key, note))
    return planned


def _risk(word: str) -> tuple[RiskClass, str]:
    """Return the class that *word* names; one that nobody knows is irreversible."""
    if word in set(RiskClass):
        return RiskClass(word), ""
    seen = f'"{output.safe(word[:40])}" is no risk class' if word else "no risk stated"
    note = f"{seen}, so it counts as irreversible; one of {RISKS}"
    return RiskClass.IRREVERSIBLE, note


def _aside(target: Path, stack: ExitStack) -> Path:
    """Return a path beside *target* that is removed when *stack* closes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{token_hex(8)}.tmp")
    stack.callback(aside.unlink, missing_ok=True)
    return aside


def _check(contracts: Path, flags: Path, names: list[str]) -> None:
    """Load what was drafted, as the Governor would.

    Raises:
        RefusedError: when it would not do; nothing has been written yet.

    """
    governance = load_governance(contracts)
    problems = lint.flag_problems(governance, read_flags(flags))
    if problems or list(governance.contracts) != names:
        raise RefusedError(f"the drafts do not hold together: {problems}")


def _land(drafted: Sequence[Path], targets: Sequence[Path], *, force: bool) -> None:
    """Give the drafts their names, both or none.

    Raises:
        RefusedError: when one exists and *force* was not asked for.

    """
    there = [str(target) for target in targets if target.exists()]
    if there and not force:
        raise RefusedError(f"{' and '.join(there)} exists; --force replaces it")
    old = [target.read_bytes() if target.exists() else None for target in targets]
    landed: list[int] = []
    try:
        for at, (draft, target) in enumerate(zip(drafted, targets, strict=True)):
            _place(draft, target, force=force)
            landed.append(at)
    except (OSError, RefusedError):
        for at in landed:
            _restore(targets[at], old[at])
        raise


def _place(draft: Path, target: Path, *, force: bool) -> None:
    if force:
        draft.replace(target)
        return
    try:
        os.link(draft, target)  # unlike a rename it never replaces
    except FileExistsError:
        raise RefusedError(f"{target} appeared just now; nothing replaced it") from None


def _restore(target: Path, content: bytes | None) -> None:
    if content is None:
        target.unlink(missing_ok=True)
    else:
        target.write_bytes(content)


def _report(
    planned: Sequence[drafts.Planned], paths: tuple[Path, Path], *, as_json: bool | None
) -> None:
    first = planned[0].name
    variable = first if first.isidentifier() else "tool"
    records = paths[0].with_name(RECORDS)
    code = [
        "from openfeature_gov import Governor",
        f'governor = Governor.open("{paths[0]}", "{paths[1]}", "{records}")',
        f'{variable} = governor.tool("{first}")({variable})',
    ]
    here = paths[0].parent == Path()
    where = "" if here else f" --governance {paths[0]} --flags {paths[1]}"
    data = {
        "governance": str(paths[0]),
        "flags": str(paths[1]),
        "tools": [
            {"tool": one.name, "riskClass": one.risk, "modeFlag": one.mode_flag}
            for one in planned
        ],
        "code": code,
    }

    def render(console: Console) -> None:
        console.print(Text("✔ written", "bold green"), f"{paths[0]}  {paths[1]}")
        rows = [(one.name, one.risk, "observe", one.mode_flag) for one in planned]
        fold = frozenset({"TOOL", "MODE FLAG"})
        names = ("TOOL", "RISK", "MODE", "MODE FLAG")
        console.print(output.columns(*names, rows=rows, fold=fold))
        console.print(Text("\nStart with three lines:\n", "dim"))
        for line in code:
            console.print(f"  {line}", soft_wrap=True)
        console.print(Text("\nThen:\n", "dim"))
        console.print(f"  gov decide {first} --explain{where}", soft_wrap=True)
        release = f"  gov flags set {planned[0].mode_flag} search_only"
        release += "" if here else f" --flags {paths[1]}"
        console.print(f'{release} --reason "first release"', soft_wrap=True)

    output.show(data, render, as_json=as_json)
