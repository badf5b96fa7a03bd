"""How a decision explains itself: verdicts, flags, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.ladder import MODES, Mode

HINTS: Mapping[str, str] = {
    "registry": "no contract of exactly this name, or the call cannot be described",
    "authorization": "the actor lacks what hardBoundary demands: --service, --scope",
    "classification": "what cannot be undone waits for a person unless autonomyFor "
    "names it",
    "switch": "governance is switched off: gov flags unkill --all --reason ...",
    "mode": "raise the mode flag: gov flags set {key} {need} --reason ...",
    "approval": "a person must approve, unless {key} says false",
    "denylist": "the tool is stopped: gov flags unkill {tool} --reason ...",
    "fallback": "an incident is on: gov flags set {key} false --reason ...",
    "freshness": "the flag data is too old or its source cannot be believed",
    "recording": "the record store does not take records",
    "conditions": "one of approval.requiredFor holds, so a person must approve",
}
KILLED = (
    "the mode flag {key} is off, perhaps killed: gov flags unkill --workflow ... or "
    "gov flags set {key} {need} --turn-on --reason ..."
)

UNRUN = (
    "  Extractors were not run: the registered tool may be denied or queued instead."
)


def render(console: Console, data: Mapping[str, Any], *, explain: bool) -> None:
    """Print the decision *data*; *explain* adds what would have to change."""
    title = output.effect(console, data["effect"])
    title.stylize("bold")
    console.print(title, Text(output.safe(data["tool"]), "bold"))
    lines = [(name, output.safe(data[name])) for name in ("mode", "need", "reason")]
    lines += [("risk", _risk(data)), ("detail", output.safe(data.get("detail", "")))]
    lines.append(("decided by", output.safe(", ".join(data.get("decidedBy", ())))))
    lines.append(("says", output.safe(data["message"])))
    lines.append(("record", data["recordId"] or "none: a plan"))
    output.facts(console, [line for line in lines if line[1]])
    if data.get("extractors") == "not run":
        console.print(Text(UNRUN, "dim"))
    console.print()
    console.print(_verdicts(data))
    if data.get("flags"):
        console.print()
        console.print(_flags(data["flags"]))
    if explain:
        _explain(console, data)


def line(console: Console, data: Mapping[str, Any]) -> None:
    """Print the decision *data* in one line, with what would lift it first of all."""
    caps = [_rung(one["cap"]) for one in data["verdicts"]]
    lowest = {
        str(one["control"])
        for one, cap in zip(data["verdicts"], caps, strict=True)
        if cap is min(caps)
    }
    obstacles = list(_obstacles(data))
    first = [f"{name}: {hint}" for name, hint in obstacles if name in lowest]
    more = len(obstacles) - len(first)
    first += [f"and {more} more, see --explain"] if more else []
    detail = f" ({data['detail']})" if data.get("detail") else ""
    why = f" · {data['mode']} · {data['reason']}{detail} · "
    text = Text.assemble(
        output.effect(console, data["effect"]),
        (f" {output.safe(data['tool'])}", "bold"),
        output.safe(why),
        (output.safe("; ".join(first) or "nothing stands in the way"), "dim"),
    )
    console.print(text, soft_wrap=True)


def _risk(data: Mapping[str, Any]) -> str:
    if "riskClass" not in data:
        return ""
    return f"{data['riskClass']}, to undo: {data['reversibility']}"


def _rung(name: object) -> Mode:
    return MODES.get(str(name), Mode.OFF)


def _verdicts(data: Mapping[str, Any]) -> Any:
    verdicts = sorted(data["verdicts"], key=lambda one: _rung(one["cap"]))
    lowest = min((_rung(one["cap"]) for one in verdicts), default=Mode.OFF)
    need = _rung(data["need"])
    rows = []
    for one in verdicts:
        cap = _rung(one["cap"])
        style = "red" if cap < need else "green"
        mark = "▸ " if cap is lowest and cap < need else "  "
        name = Text(f"{mark}{output.safe(one['control'])}", "bold" * (mark != "  "))
        rows.append((name, Text(cap.label, style), _why(one)))
    return output.columns(
        "  CONTROL", "CAP", "REASON", rows=rows, fold=frozenset({"REASON"})
    )


def _why(verdict: Mapping[str, Any]) -> str:
    need = verdict.get("need", "off")
    raised = f", needs {need}" if _rung(need) > Mode.OFF else ""
    return f"{verdict['reason']}{raised}"


def _flags(flags: list[dict[str, Any]]) -> Any:
    rows = [
        (
            one["kind"],
            one["key"],
            output.styled(one["fault"], "red")
            if one["fault"]
            else output.styled(one["variant"]),
            output.styled(one["reason"]),
            output.styled(_version(one["version"]), "dim"),
        )
        for one in flags
    ]
    names = ("FLAG", "KEY", "VARIANT", "REASON", "VERSION")
    return output.columns(*names, rows=rows, fold=frozenset({"KEY", "VARIANT"}))


def _version(version: object) -> str:
    """Return a version in milliseconds since 1970 as a time, any other as it is."""
    text = "" if version is None else str(version)
    return output.moment(int(text) * 1000) if text.isdecimal() else text


def _explain(console: Console, data: Mapping[str, Any]) -> None:
    console.print()
    obstacles = list(_obstacles(data))
    if not obstacles:
        console.print(Text("Nothing stands in the way.", "green"))
    else:
        console.print(Text(f"In the way of {data['need']}:", "bold"))
    output.facts(console, obstacles)
    source = data.get("flagSource")
    if source:
        age = source.get("ageMs")
        known = "unknown" if age is None else f"{age} ms"
        parts = [source["provider"], source["status"], f"age {known}"]
        parts.append(f"revision {source['revision'][:12]}")
        console.print(Text("\nFlag data: " + output.safe(" · ".join(parts)), "dim"))


def _obstacles(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    need, flags = data["need"], {one["kind"]: one for one in data.get("flags", ())}
    for one in data["verdicts"]:
        control = str(one["control"])
        waits = control == "conditions" and _rung(one.get("need")) > Mode.OFF
        if _rung(one["cap"]) >= _rung(need) and not waits:
            continue
        flag = flags.get(control, {})
        hint = HINTS.get(control, "a guardrail of this deployment says so")
        if control == "mode" and flag.get("reason") == "DISABLED":
            hint = KILLED
        text = hint.format(key=flag.get("key"), need=need, tool=data["tool"])
        yield control, f"{text}{_evidence(one)}"
    lowest = min((_rung(one["cap"]) for one in data["verdicts"]), default=Mode.OFF)
    if _rung(data["mode"]) < lowest:
        yield (
            "allowedModes",
            f"does not list {lowest.label}, so {data['mode']} is what is left",
        )


def _evidence(verdict: Mapping[str, Any]) -> str:
    facts = verdict.get("evidence") or {}
    shown = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f" ({shown})" if shown else ""
