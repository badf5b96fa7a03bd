"""`gov flags kill` and `unkill`: stop a tool, a workflow or everything; undo it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from openfeature_gov.cli import denylists, output, rescue, shapes, switches
from openfeature_gov.cli.carrying import Hand, Scope, carry_out, handed
from openfeature_gov.cli.exits import text_of
from openfeature_gov.cli.options import CONTRACTS, BesideContracts
from openfeature_gov.embedded import load_governance
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import TOOL_NAME, Governance
from openfeature_gov.targets import FlagTarget, RefusedError, Switch

ToolName = Annotated[str | None, typer.Argument(metavar="TOOL", help="One tool.")]
Workflow = Annotated[
    str | None, typer.Option(help="Every tool of this workflow, by its mode flag.")
]
Everything = Annotated[
    bool,
    typer.Option("--all", help="Every tool: the global flag, else all mode flags."),
]


@handed
def kill(
    hand: Hand,
    tool: ToolName = None,
    *,
    workflow: Workflow = None,
    everything: Everything = False,
    governance: BesideContracts = None,
) -> None:
    """Stop a tool, a workflow or everything, now.

    Takes effect before it is recorded; exit 1 says that it works but has no record.
    Where the contracts cannot be loaded, TOOL and --all go by the flags alone.
    Where the flag file is broken it is set aside, and everything stops.
    """
    _asked(tool, workflow, everything)
    path = governance or hand.aim.beside(CONTRACTS)
    try:
        lost = rescue.broken_of(hand.aim.target)
        if lost is not None:
            aim = replace(hand.aim, target=lost)
            carry_out(rescue.stopped(lost, path), replace(hand, aim=aim))
        else:
            carry_out(_killing(hand, path, tool, workflow), hand)
    except OSError:
        output.warn(rescue.HELP)
        raise


def _killing(hand: Hand, path: Path, tool: str | None, workflow: str | None) -> Scope:
    contracts = _loaded(path, workflow)
    if contracts is None:
        return _guessed(hand.aim.target, tool)
    if tool is not None:
        key = _denylist_of(contracts, tool)
        return Scope(denylists.deny(key, tool), tool, (key,), (tool,))
    return _wide(contracts, workflow, switches.off)


@handed
def unkill(
    hand: Hand,
    tool: ToolName = None,
    *,
    workflow: Workflow = None,
    everything: Everything = False,
    governance: BesideContracts = None,
) -> None:
    """Undo a kill of the same scope: the tool leaves the denylist, flags turn on.

    Recorded first: a reversal that cannot be recorded is not made.
    """
    _asked(tool, workflow, everything)
    path = governance or hand.aim.beside(CONTRACTS)
    contracts = load_governance(path)
    if tool is not None:
        key = _denylist_of(contracts, tool)
        scope = Scope(denylists.lift(key, tool), tool, (key,), (tool,))
    else:
        scope = _wide(contracts, workflow, switches.on)
    carry_out(scope, hand)


Build = Callable[[switches.Keys, dict[str, Any]], Switch]


def _asked(tool: str | None, workflow: str | None, everything: bool) -> None:
    if [tool is not None, workflow is not None, everything].count(True) != 1:
        raise typer.BadParameter("say exactly one of: TOOL, --workflow NAME, --all")


def _loaded(path: Path, workflow: str | None) -> Governance | None:
    """Return the contracts of *path*; None, with a warning, if they cannot be loaded.

    Raises:
        InvalidContractError: when they were refused and a workflow is to be killed.
        OSError: when they cannot be read and a workflow is to be killed.

    """
    try:
        return load_governance(path)
    except (InvalidContractError, OSError) as error:
        if workflow is not None:
            output.warn(
                "nothing was changed: --workflow needs the contracts; TOOL and --all "
                "work without them"
            )
            raise
        output.warn(text_of(error))
        output.warn(
            "the contracts cannot be loaded, so this kill goes by the shape of the "
            "flags"
        )
        return None


def _guessed(target: FlagTarget, tool: str | None) -> Scope:
    """Return what stops *tool*, or everything for None, as the flags show it."""
    held = target.read().flags
    if tool is None:
        return _guessed_all(target, shapes.everything(held))
    if not TOOL_NAME.fullmatch(tool):
        raise typer.BadParameter(f"{tool!r} is no tool name")
    keys = tuple(shapes.denylists_in(held))
    if not keys:
        raise RefusedError(
            f"{target.name} holds no json flag that reads as a denylist, so nothing "
            "was changed; stop everything instead: gov flags kill --all --reason ..."
        )
    note = (
        f"{tool} goes on {', '.join(keys)}; whether it is a tool, and its contract "
        "names one of these, was not checked"
    )
    switch = denylists.deny_on_each(keys, tool)
    return Scope(_unread(switch), tool, keys, (), notes=(note,))


def _guessed_all(target: FlagTarget, guess: shapes.Guess) -> Scope:
    if not guess.keys:
        left = f"; mode flags that do not serve off when off: {', '.join(guess.left)}"
        raise RefusedError(
            f"{target.name} shows neither a global flag nor a mode flag that turns "
            f"off, so nothing was changed{left if guess.left else ''}. Set them one "
            "by one: gov flags set KEY off --clear-targeting --reason ..."
        )
    keys = tuple(key for key, _ in guess.keys)
    kind = "mode" if guess.keys[0][1] == "mode" else "global"
    note = f"taken for the {kind} flags of all tools: {', '.join(keys)}"
    switch = _unread(switches.off(guess.keys, {"all": True}))
    notes = (note, *guess.notes)
    return Scope(switch, "everything", keys, (), left=guess.left, notes=notes)


def _unread(switch: Switch) -> Switch:
    """Return *switch* with the fact that no contract stood behind it."""
    return replace(switch, facts={**switch.facts, "governance": "not read"})


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
