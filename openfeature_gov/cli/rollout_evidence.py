"""`gov rollout compare` and `signal`: releases of an agent, and what outsiders saw."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output, rollout_view
from openfeature_gov.cli.carrying import By, signed_by
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.moments import microseconds
from openfeature_gov.cli.rollout_place import at_place

if TYPE_CHECKING:
    from openfeature_gov.governance.lineage import Release
    from openfeature_gov_rollout.controller import Controller
    from openfeature_gov_rollout.plan import Plan

Name = Annotated[str, typer.Argument(metavar="PLAN", help="Name of a plan.")]
KEYS = "agentVersion, model or promptDigest"
EXITS = {"pass": Exit.OK, "hold": Exit.PENDING, "fail": Exit.REFUSED}


@at_place
def compare(
    controller: Controller,
    name: Name,
    *,
    old: Annotated[
        list[str], typer.Option("--old", help=f"KEY=VALUE; a KEY is {KEYS}.")
    ],
    new: Annotated[
        list[str], typer.Option("--new", help="The release to compare with it.")
    ],
    since: Annotated[
        str, typer.Option("--from", help="A date, a time, or how long ago.")
    ] = "30d",
    as_json: output.Json = None,
) -> None:
    """Judge a new release of the agent by the tasks that the old one did as well.

    Exit 0 when it clears every gate, and how to accept it; nothing does that by itself.
    Exit 5 when more tasks are needed, 4 when it does not behave as the old one.
    """
    from openfeature_gov.stores.logs import opened  # noqa: PLC0415 - slow to load
    from openfeature_gov_rollout import lineage, showing  # noqa: PLC0415

    plan = _plan(controller, name)
    releases = (_release(old, "--old"), _release(new, "--new"))
    span = (microseconds(since, option="--from") or 0, controller.now_us())
    with opened(controller.records) as log:
        judged = lineage.judged(
            log, *releases, plan.tools, *span, error_level=plan.error_level
        )
    gates = showing.gates(judged)
    data: dict[str, Any] = {
        "plan": plan.name,
        "old": releases[0].model_dump(by_alias=True, exclude_none=True),
        "new": releases[1].model_dump(by_alias=True, exclude_none=True),
        "answer": judged.answer.value,
        "sentence": judged.sentence,
        "gates": gates,
        "next": _next(controller, plan, releases[1], judged.answer.value),
    }

    def render(console: Console) -> None:
        console.print(rollout_view.gate_table(gates))
        console.print(Text(output.safe(judged.sentence)))
        for number, step in enumerate(data["next"], 1):
            console.print(Text(f"  {number}. {output.safe(step)}"), soft_wrap=True)

    output.show(data, render, as_json=as_json)
    raise typer.Exit(EXITS[judged.answer.value])


def _next(
    controller: Controller, plan: Plan, release: Release, answer: str
) -> list[str]:
    """Return what is to be done by hand once *release* has cleared its gates."""
    if answer != "pass":
        return []
    rules = [controller.governance.contracts[tool].lineage for tool in plan.tools]
    held = [
        tool
        for tool, one in zip(plan.tools, rules, strict=True)
        if one is not None and release not in one.accepted
    ]
    if not held:
        return ["nothing: no contract of this plan holds it back"]
    entry = json.dumps(release.model_dump(by_alias=True, exclude_none=True))
    source = controller.governance.source
    return [
        f"{source}: add {entry} to lineage.accepted of {', '.join(held)}",
        f"gov governance check {shlex.quote(source)}",
        "start the processes of the agent anew: they read contracts when they start",
    ]


def _plan(controller: Controller, name: str) -> Plan:
    for plan in controller.plans:
        if plan.name == name:
            return plan
    known = ", ".join(plan.name for plan in controller.plans)
    raise typer.BadParameter(f"no plan {name!r}; there are: {known or 'none'}")


def _release(given: list[str], option: str) -> Release:
    from pydantic import ValidationError  # noqa: PLC0415 - with the contracts

    from openfeature_gov.governance.lineage import Release  # noqa: PLC0415

    parts = dict(one.partition("=")[::2] for one in given)
    try:
        return Release.model_validate(parts)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"])) or "nothing"
        raise typer.BadParameter(
            f"{key}: write KEY=VALUE, where KEY is {KEYS}", param_hint=f"'{option}'"
        ) from None


@at_place
def signal(
    controller: Controller,
    name: Name,
    seen: Annotated[
        str, typer.Argument(metavar="SIGNAL", help="What was seen: incident, support.")
    ],
    *,
    reference: Annotated[
        str, typer.Option(help="Id of the case where it is kept; no free text.")
    ],
    tool: Annotated[
        str, typer.Option(help="The tool it is about (default: the whole workflow).")
    ] = "",
    decision: Annotated[
        str | None, typer.Option(help="Record of the decision that led to it.")
    ] = None,
    actor: By = None,
    as_json: output.Json = None,
) -> None:
    """Record an incident or a support case, which the gates of the plan count."""
    from openfeature_gov_rollout import signals  # noqa: PLC0415 - slow to load
    from openfeature_gov_rollout.recording import kept  # noqa: PLC0415

    plan = _plan(controller, name)
    if tool and tool not in plan.tools:
        raise typer.BadParameter(
            f"{tool!r} is no tool of {plan.name}", param_hint="'--tool'"
        )
    about: dict[str, Any] = {
        "workflow": plan.workflow,
        "tool": tool,
        "reference": reference,
        "by": signed_by(actor),
        "decision": decision,
    }
    with kept(controller.records) as store:
        try:
            record = signals.report(store, seen, **about)
        except signals.SignalError as error:
            raise typer.BadParameter(str(error)) from None
    data = {"record": record, "signal": seen, **about}
    text = Text(f"✔ recorded {seen} as {record}", "green")
    output.show(data, lambda console: console.print(text), as_json=as_json)
