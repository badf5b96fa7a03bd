"""`gov flags kill` and `unkill`: stop a tool, a workflow or everything; undo it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from openfeature_gov.cli import denylists, output, switches
from openfeature_gov.cli.carrying import By, DryRun, Reason, Scope, carry_out, signed
from openfeature_gov.cli.exits import RefusedError
from openfeature_gov.cli.options import (
    CONTRACTS,
    FLAGS,
    BesideContracts,
    BesideRecords,
    Flags,
    governance_of,
)
from openfeature_gov.governance import Governance

ToolName = Annotated[str | None, typer.Argument(metavar="TOOL", help="One tool.")]
Workflow = Annotated[
    str | None, typer.Option(help="Every tool of this workflow, by its mode flag.")
]
Everything = Annotated[
    bool,
    typer.Option("--all", help="Every tool: the global flag, else all mode flags."),
]


def kill(
    tool: ToolName = None,
    *,
    reason: Reason,
    workflow: Workflow = None,
    everything: Everything = False,
    flags: Flags = Path(FLAGS),
    governance: BesideContracts = None,
    records: BesideRecords = None,
    actor: By = None,
    dry_run: DryRun = False,
    as_json: output.Json = None,
) -> None:
    """Stop a tool, a workflow or everything, now.

    Takes effect before it is recorded; exit 1 says that it works but has no record.
    """
    by = signed(actor, reason, records, flags)
    contracts = governance_of(governance or flags.with_name(CONTRACTS))
    if _asked(tool, workflow, everything) and tool is not None:
        key = _denylist_of(contracts, tool)
        scope = Scope(denylists.deny(key, tool), tool, (key,), (tool,))
    else:
        scope = _wide(contracts, workflow, switches.off)
    carry_out(scope, flags, by, dry_run, as_json)


def unkill(
    tool: ToolName = None,
    *,
    reason: Reason,
    workflow: Workflow = None,
    everything: Everything = False,
    flags: Flags = Path(FLAGS),
    governance: BesideContracts = None,
    records: BesideRecords = None,
    actor: By = None,
    dry_run: DryRun = False,
    as_json: output.Json = None,
) -> None:
    """Undo a kill of the same scope: the tool leaves the denylist, flags turn on.

    Recorded first: a reversal that cannot be recorded is not made.
    """
    by = signed(actor, reason, records, flags)
    contracts = governance_of(governance or flags.with_name(CONTRACTS))
    if _asked(tool, workflow, everything) and tool is not None:
        key = _denylist_of(contracts, tool)
        scope = Scope(denylists.lift(key, tool), tool, (key,), (tool,))
    else:
        scope = _wide(contracts, workflow, switches.on)
    carry_out(scope, flags, by, dry_run, as_json)


Build = Callable[[switches.Keys, dict[str, Any]], switches.Switch]


def _asked(tool: str | None, workflow: str | None, everything: bool) -> bool:
    if [tool is not None, workflow is not None, everything].count(True) != 1:
        raise typer.BadParameter("say exactly one of: TOOL, --workflow NAME, --all")
    return True


def _denylist_of(contracts: Governance, tool: str) -> str:
    rules = contracts.get(tool)
    if rules is None:
        known = ", ".join(contracts.contracts)
        raise typer.BadParameter(f"no contract names {tool!r}; there are: {known}")
    key = rules.runtime_controls.denylist_flag
    if key is None:
        mode = rules.runtime_controls.mode_flag or "<its mode flag>"
        raise RefusedError(
            f"the contract of {tool} names no denylistFlag, so nothing was changed. "
            f"Add one, or lower its mode: gov flags set {mode} off --clear-targeting "
            "--reason ..."
        )
    return key


def _wide(contracts: Governance, workflow: str | None, build: Build) -> Scope:
    keys, missed = switches.killable(contracts, workflow)
    where = "everything" if workflow is None else f"workflow {workflow}"
    if not keys:
        known = ", ".join(sorted({rules.workflow for rules in contracts}))
        raise RefusedError(
            f"{where}: no contract names a flag that could be turned; there are the "
            f"workflows {known}"
        )
    named = tuple(key for key, _ in keys)
    tools = tuple(switches.governed_by(contracts, named))
    facts = {"all": True} if workflow is None else {"workflow": workflow}
    return Scope(build(keys, facts), where, named, tools, tuple(missed))
