"""Rollouts for people: trees, gate tables, histories. Facts come in, text goes out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from openfeature_gov.cli import output
from openfeature_gov.cli.tables import Rows
from openfeature_gov.targets import RefusedError

if TYPE_CHECKING:
    from openfeature_gov_rollout.controller import Controller, Taken
    from openfeature_gov_rollout.looking import Look
    from openfeature_gov_rollout.plan import Plan

Facts = dict[str, Any]
MARKS = {
    "ready": ("✔", "green"),
    "done": ("✔", "green"),
    "proving": ("◌", "cyan"),
    "not begun": ("◌", "dim"),
    "held": ("॥", "yellow"),
    "unsettled": ("॥", "yellow"),
    "failing": ("✖", "red"),
    "killed": ("✖", "red"),
    "locked": ("✖", "red"),
    "aborted": ("✖", "red"),
    "altered": ("✖", "red"),
}
ANSWERS = {"pass": "green", "hold": "yellow", "fail": "red"}
STATES = {"done": ("✔", "green"), "now": ("●", "bold"), "ahead": ("·", "dim")}
VERBS = {"rollback": "red", "abort": "red", "demote": "yellow", "advance": "green"}


def today() -> date:
    """Return the day, in UTC."""
    return datetime.now(UTC).date()


def planned(look: Look, controller: Controller) -> Facts:
    """Return how one plan differs from what its flag says now."""
    from openfeature_gov_rollout import showing  # noqa: PLC0415 - slow to load

    facts = showing.status(look)
    try:
        changes, refused = controller.preview(look), ""
    except RefusedError as error:
        changes, refused = (), str(error)
    return {
        **facts,
        "altered": look.situation.place.altered,
        "refused": refused,
        "wouldChange": [
            {"key": one.key, "from": one.was, "to": one.now} for one in changes
        ],
    }


def changed(old: Sequence[Plan], new: Sequence[Plan]) -> list[Facts]:
    """Return what differs between two plan files, plan by plan and key by key."""
    from openfeature_gov_rollout import showing  # noqa: PLC0415 - slow to load

    before = {plan.name: plan for plan in old}
    after = {plan.name: plan for plan in new}
    found = [
        {"plan": name, "key": "", "from": "there", "to": ""}
        for name in before.keys() - after.keys()
    ]
    for name, plan in after.items():
        if name not in before:
            found.append({"plan": name, "key": "", "from": "", "to": "there"})
            continue
        found += [
            {"plan": name, "key": key, "from": was, "to": now}
            for key, was, now in showing.differences(before[name], plan)
        ]
    return found


def render_plan(console: Console, data: Facts) -> None:
    """Draw the plans with their stages, and what the next stage would change."""
    for one in data["plans"]:
        console.print(_title(console, one))
        rows = [
            (
                Text(*_marked(console, STATES[stage["state"]])),
                stage["name"],
                stage["mode"],
                stage["audience"],
                _conditions(stage),
            )
            for stage in one["stages"]
        ]
        names = ("", "STAGE", "MODE", "AUDIENCE", "ASKS FOR")
        fold = frozenset({"AUDIENCE", "ASKS FOR"})
        console.print(output.columns(*names, rows=rows, fold=fold))
        for problem in (one["altered"], one["refused"]):
            if problem:
                console.print(Text(f"  {output.safe(problem)}", "red"))
        _would_change(console, one)
        console.print()
    if data["changes"]:
        rows = [(c["plan"], c["key"], c["from"], "→", c["to"]) for c in data["changes"]]
        table = output.columns(
            "PLAN", "KEY", "WAS", "", "NOW", rows=rows, fold=frozenset({"WAS", "NOW"})
        )
        console.print(table)


def _would_change(console: Console, one: Facts) -> None:
    if one["stage"]:
        for line in _serves(one, one["stage"]):
            console.print(Text(f"  now    {output.safe(line)}", "dim"))
    if not one["next"]:
        return
    for line in _serves(one, one["next"]):
        console.print(Text(f"  next   {output.safe(line)}"))


def _serves(one: Facts, name: str) -> list[str]:
    return [
        line
        for stage in one["stages"]
        if stage["name"] == name
        for line in stage["serves"]
    ]


def _conditions(stage: Facts) -> str:
    terms = [_gate(gate) for gate in stage["gates"]]
    if stage["minimumTime"] != "0s":
        terms.append(f"{stage['minimumTime']} at least")
    if stage["minimumSamples"]:
        terms.append(f"{stage['minimumSamples']} decisions")
    if stage["deadline"]:
        terms.append(f"{stage['onDeadline']} after {stage['deadline']}")
    signers = " or ".join(stage["signOff"])
    terms.append(f"signed by {signers}" if signers else "no sign-off")
    if stage["override"]:
        terms.append(f"skips a rung: {stage['override']}")
    return ", ".join(terms)


def _gate(gate: Facts) -> str:
    if "atLeast" in gate:
        return f"{gate['metric']} ≥ {gate['atLeast']}"
    return f"{gate['metric']} ≤ {gate['atMost']}"


def render_status(console: Console, data: Facts) -> None:
    """Draw each rollout as a tree: its stages, under the one that holds its gates."""
    for one in data["rollouts"]:
        tree = Tree(_title(console, one), guide_style="dim")
        for stage in one["stages"]:
            mark, style = STATES[stage["state"]]
            told = f"{mark} {stage['name']}  {stage['mode']}"
            branch = tree.add(Text(output.safe(told), style))
            if stage["audience"] != "everybody":
                branch.label = Text.assemble(
                    (output.safe(told), style), (f"  {stage['audience']}", "dim")
                )
            if stage["state"] == "now" and one["gates"]:
                branch.add(gate_table(one["gates"]))
        if one["stage"] not in {stage["name"] for stage in one["stages"]}:
            word = one["stage"] or "no stage yet"
            told = f"● {word}  {one['safestMode'] if one['stage'] else ''}"
            tree.add(Text(output.safe(told), "bold"))
        for block in one["blocks"]:
            told = f"{block['why']}: {block['text']}"
            tree.add(Text.assemble(("blocked by ", "dim"), output.safe(told)))
        if one["due"]:
            due = one["due"]
            told = f"due now: {due['verb']} {due['to']}: {due['reason']}"
            tree.add(Text(output.safe(told), VERBS.get(due["verb"], "yellow")))
        elif one["status"] in ("ready", "not begun"):
            signers = " or ".join(one["signers"]) or "anybody"
            told = f"next: {one['next']}, signed by {signers}: gov rollout advance"
            tree.add(Text(output.safe(f"{told} {one['plan']}"), "green"))
        console.print(tree)
        console.print(Text(output.safe(_foot(one)), "dim"))
        console.print()


def gate_table(gates: list[Facts]) -> Rows:
    """Return the gates as a table: value, bound, target, samples, verdict."""
    rows = [
        (
            gate["metric"],
            _share(gate["value"]),
            _share(gate["bound"]),
            _share(gate["target"]),
            str(gate["samples"]),
            "" if gate["missing"] is None else str(gate["missing"]),
            Text(gate["answer"].upper(), ANSWERS[gate["answer"]]),
            gate["kind"],
        )
        for gate in gates
    ]
    names = ("GATE", "VALUE", "BOUND", "TARGET", "N", "MISSING", "VERDICT", "KIND")
    return output.columns(*names, rows=rows, spare=("KIND", "MISSING", "N"))


def _title(console: Console, one: Facts) -> Text:
    mark, style = _marked(console, MARKS.get(one["status"], ("?", "red")))
    place = one["stage"] or "no stage"
    return Text.assemble(
        (output.safe(one["plan"]), "bold"),
        "  ",
        (f"{mark} {one['status']}", style),
        (f"  {place}  {one['workflow']}: {_tools(one['tools'])}", "dim"),
    )


def _tools(tools: list[str]) -> str:
    shown = ", ".join(tools[:3])
    return shown if len(tools) <= 3 else f"{shown} and {len(tools) - 3} more"


def _foot(one: Facts) -> str:
    since = output.moment(one["enteredUs"])
    told = f" since {since}" if since else ""
    version = one["flagVersion"] or one["flag"]
    return f"  flag {version}{told} · {one['samples']} decisions · {one['owner']}"


def render_history(console: Console, data: Facts) -> None:
    """Draw what happened, each step with why and on which evidence."""
    names = ("TIME (UTC)", "WHAT", "FROM → TO", "WHO", "RESULT", "EVIDENCE")
    entries = []
    for one in data["events"]:
        moved = (
            f"{one['from'] or '-'} → {one['to']}" if one["from"] or one["to"] else ""
        )
        digest = (one["evidenceDigest"] or "")[:12]
        cells = (
            output.moment(one["atUs"]),
            Text(one["verb"], VERBS.get(one["verb"], "")),
            moved,
            one["actor"],
            one["result"],
            digest,
        )
        entries.append((cells, Text(_why(one))))
    output.ledger(console, names, entries, spare=("EVIDENCE", "WHO", "RESULT"))


def _why(one: Facts) -> str:
    said = [one["reason"]]
    said += [gate["sentence"] for gate in one["gates"]]
    said += [
        f"lately {gate['sentence']}"
        for gate in one["recentGates"]
        if gate["answer"] == "fail"
    ]
    if one["override"]:
        said.append("overridden: " + "; ".join(one["waived"]))
    if one["flagAfter"]:
        said.append(f"flag {one['flagBefore']} → {one['flagAfter']}")
    return output.safe(" · ".join(dict.fromkeys(said)))


def render_cleanup(console: Console, data: Facts) -> None:
    """Draw what could be removed, and how; nothing was."""
    if not data["proposals"]:
        console.print("nothing to clean up")
    for one in data["proposals"]:
        console.print(Text(output.safe(one["subject"]), "bold"))
        console.print(Text(f"  {output.safe(one['why'])}"))
        for number, step in enumerate(one["steps"], 1):
            console.print(Text(f"  {number}. {output.safe(step)}"))


def render_move(console: Console, data: Facts) -> None:
    """Draw what became of a move."""
    if data["transition"] is None:
        told = f"= {data['verb']}: {data['plan']} stands at {data['to']} already"
        console.print(Text(output.safe(told)))
        return
    style = VERBS.get(data["verb"], "")
    told = f"✔ {data['verb']}  {data['plan']}: {data['from'] or 'no stage'}"
    console.print(Text(output.safe(f"{told} → {data['to']}"), f"bold {style}"))
    output.facts(console, [("record", data["transition"])])


def render_trial(console: Console, data: Facts) -> None:
    """Draw what an advance would come to; nothing was changed."""
    told = f"◌ dry run, nothing changed: {data['plan']}"
    way = f"{data['stage'] or 'no stage'} → {data['next'] or 'nothing'}"
    console.print(Text(output.safe(f"{told}: {way}"), "bold"))
    for line in _serves(data, data["next"]):
        console.print(Text(f"  next   {output.safe(line)}"))
    if data["refused"]:
        console.print(Text(f"  {output.safe(data['refused'])}", "red"))
    for block in data["blocks"]:
        told = f"  blocked by {block['why']}: {block['text']}"
        console.print(Text(output.safe(told), "yellow"))


def taken(one: Taken) -> tuple[Facts, Text]:
    """Return one evaluation of a watch, for programs and for people."""
    step, plan = one.step, one.look.plan.name
    stage = one.look.situation.place.stage
    data = {
        "plan": plan,
        "stage": stage,
        "did": None if step.verb is None else step.verb.value,
        "to": one.moved.place.stage if one.moved else None,
        "reason": step.reason,
        "transition": one.moved.transition if one.moved else None,
        "record": one.noted or None,
        "error": one.error or None,
        "blocks": [{"why": b.why.value, "text": b.text} for b in step.blocks],
    }
    verb = data["did"] or "stays"
    reason = step.reason or "; ".join(b.text for b in step.blocks)
    told = f"{plan}  {stage or 'no stage'}: {verb} {data['to'] or ''} {reason}"
    style = "red" if one.error else VERBS.get(str(data["did"]), "dim")
    text = f"{told} · FAILED: {one.error}" if one.error else told
    return data, Text(output.safe(text), style)


def _marked(console: Console, marked: tuple[str, str]) -> tuple[str, str]:
    mark, style = marked
    return ("*" if console.options.ascii_only else mark), style


def _share(text: str | None) -> str:
    if text is None:
        return "-"
    return f"{float(text) * 100:.4g} %"
