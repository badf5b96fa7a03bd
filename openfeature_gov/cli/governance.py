"""`gov governance check`: what a governance file says, or everything wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from openfeature_gov.cli import explaining, lint, output
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.switches import named_flags
from openfeature_gov.decisions import need_of
from openfeature_gov.embedded import open_to_all, yaml_text
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import Governance, GovernanceContract, parse
from openfeature_gov.governance.foreign import Cedar
from openfeature_gov.policies import Policies
from openfeature_gov.targets.file import read_flags
from openfeature_gov.targets.states import Held

app = typer.Typer(no_args_is_help=True, help="Look at governance contracts.")


@app.callback()
def _group() -> None:
    """Look at governance contracts."""


@app.command("check")
def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Governance files (YAML).", readable=False
        ),
    ],
    *,
    flags: Annotated[
        Path | None,
        typer.Option(
            "--flags", help="Check also every flag named, in this file.", readable=False
        ),
    ] = None,
    as_json: output.Json = None,
) -> None:
    """Load FILEs and show their contracts, or every problem as file:line: key: text.

    Exit 0 when all is well (warnings or not), 4 when there are problems.
    """
    held = None if flags is None else read_flags(flags)
    contracts: list[tuple[str, GovernanceContract]] = []
    problems: list[lint.Finding] = []
    warnings: list[lint.Finding] = []
    for file in files:
        try:
            contracts += _checked(file, held, problems, warnings)
        except InvalidContractError as error:
            problems += [lint.Finding(error.source, *one) for one in error.problems]
    warnings += (
        lint.Finding(str(path), 0, "", remark)
        for path in (*files, flags)
        if path is not None and (remark := open_to_all(path))
    )
    data = {
        "ok": not problems,
        "contracts": [_about(file, rules) for file, rules in contracts],
        "problems": [asdict(one) for one in dict.fromkeys(problems)],
        "warnings": [asdict(one) for one in warnings],
    }

    def render(console: Console) -> None:
        _render(console, contracts, list(dict.fromkeys(problems)), warnings)

    output.show(data, render, as_json=as_json)
    if problems:
        raise typer.Exit(Exit.REFUSED)


app.command("explain")(explaining.explain)


def _checked(
    file: Path,
    flags: Held | None,
    problems: list[lint.Finding],
    warnings: list[lint.Finding],
) -> list[tuple[str, GovernanceContract]]:
    text = yaml_text(file)
    governance = parse(text, str(file))
    today = datetime.now(UTC).date()
    warnings += lint.warnings(governance, text, str(file), today=today)
    problems += invalid_policies(governance)
    if flags is not None:
        problems += lint.flag_problems(governance, flags)
    return [(str(file), rules) for rules in governance]


def invalid_policies(governance: Governance) -> list[lint.Finding]:
    """Return what is wrong with Cedar policies; functions and tokens are the host's."""
    found = Policies(governance, {}).problems
    cedar = {
        f"{rules.tool}.guardrails.{one.name}"
        for rules in governance
        for one in rules.guardrails
        if isinstance(one, Cedar)
    }
    source = governance.source
    return [lint.Finding(source, *one) for one in found if one[1] in cedar]


def _need(rules: GovernanceContract) -> str:
    return need_of(rules.risk_class, rules.floor).label


def _about(file: str, rules: GovernanceContract) -> dict[str, Any]:
    return {
        "file": file,
        "tool": rules.tool,
        "workflow": rules.workflow,
        "owner": rules.owner,
        "riskClass": rules.risk_class,
        "reversibility": rules.floor,
        "need": _need(rules),
        "defaultMode": rules.default_mode.label,
        "safestMode": rules.rollback.safest_mode.label,
        "flags": {kind: key for key, kind in named_flags(rules).items()},
        "revision": rules.revision,
    }


def _render(
    console: Console,
    contracts: list[tuple[str, GovernanceContract]],
    problems: list[lint.Finding],
    warnings: list[lint.Finding],
) -> None:
    groups: dict[tuple[str, str, str], list[GovernanceContract]] = {}
    for file, rules in contracts:
        groups.setdefault((rules.workflow, rules.owner, file), []).append(rules)
    for (workflow, owner, file), listed in groups.items():
        title = Text.assemble((output.safe(workflow), "bold"), "  owner ")
        title.append(output.safe(owner), "bold").append(f"  {output.safe(file)}", "dim")
        console.print(title, soft_wrap=True)
        shared = _shared(listed)
        if shared:
            console.print(Padding(Text(_spelled(shared), "dim"), (0, 0, 0, 2)))
        names = ("TOOL", "RISK", "UNDO", "NEEDS", "DEFAULT", "SAFEST")
        output.ledger(console, names, [_entry(rules, shared) for rules in listed])
        console.print()
    for one in problems:
        _finding(console, "✖", "red", one)
    for one in warnings:
        _finding(console, "⚠", "yellow", one)
    _conclude(console, len(contracts), len(problems), len(warnings))


def _shared(listed: list[GovernanceContract]) -> dict[str, str]:
    """Return the flags that every one of *listed* names, if there are several."""
    flags = [set(named_flags(rules).items()) for rules in listed]
    common = set.intersection(*flags) if len(flags) > 1 else set()
    return {
        key: kind
        for key, kind in named_flags(listed[0]).items()
        if (key, kind) in common
    }


def _spelled(flags: dict[str, str]) -> str:
    return "  ".join(f"{kind}={key}" for key, kind in flags.items())


def _entry(
    rules: GovernanceContract, shared: dict[str, str]
) -> tuple[list[output.Cell], Text]:
    cells: list[output.Cell] = [
        Text(rules.tool, "bold"),
        rules.risk_class,
        rules.floor,
        _need(rules),
        rules.default_mode.label,
        rules.rollback.safest_mode.label,
    ]
    flags = named_flags(rules)
    own = {key: kind for key, kind in flags.items() if key not in shared}
    return cells, Text(_spelled(own) if flags else "no flags")


def _finding(console: Console, mark: str, style: str, one: lint.Finding) -> None:
    text = Text(f"{mark} ", style).append(output.safe(one), "")
    console.print(text, soft_wrap=True)


def _conclude(console: Console, contracts: int, problems: int, warnings: int) -> None:
    word, style = ("✖ refused", "red") if problems else ("✔ ok", "green")
    counts = [f"{contracts} tools", f"{problems} problems", f"{warnings} warnings"]
    console.print(Text(word, f"bold {style}"), Text(" · ".join(counts), "dim"))
