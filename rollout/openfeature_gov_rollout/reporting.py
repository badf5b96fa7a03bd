"""The HTML report of rollouts: one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from typing import Any

from openfeature_gov.ladder import MODES
from openfeature_gov_rollout.controller import Controller
from openfeature_gov_rollout.decided import decided
from openfeature_gov_rollout.drawing import STYLE, bars, gauge, legend, timeline
from openfeature_gov_rollout.looking import Look
from openfeature_gov_rollout.showing import history, status

Facts = dict[str, Any]
HOUR_US = 3_600_000_000


def page(controller: Controller, names: Iterable[str] = ()) -> str:
    """Return the report of the plans *names*, by default all, as HTML.

    Raises:
        RefusedError: for a name that no plan has.
        FeatBitDataError: when the flags are unusable.
        UnreachableError: when the target cannot be reached.
        RecordStoreError: when the records cannot be read.
        OSError: when the flags cannot be read.

    """
    looks = controller.look(names)
    sections = "".join(_section(controller, one) for one in looks)
    made = _moment(controller.now_us())
    target = escape(controller.target.name)
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        "<meta http-equiv=Content-Security-Policy "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Rollouts on {target}</title><style>{STYLE}</style></head><body>"
        f"<h1>Rollouts</h1><p class=dim>{target} · {made} UTC</p>{sections}"
        "</body></html>\n"
    )


def _section(controller: Controller, look: Look) -> str:
    facts, events = status(look), history(look.situation.story)
    moves = [one for one in events if one["to"] and one["result"] == "applied"]
    now = facts["nowUs"]
    start = min((one["atUs"] for one in moves), default=now - HOUR_US)
    width = max(now - start, 1)
    counted = decided(controller.records, look.plan.tools, start, now + 1)
    return "".join(
        (
            f"<section><h2>{escape(facts['plan'])} ",
            f"<span class='tag {_tone(facts['status'])}'>{escape(facts['status'])}",
            f"</span></h2><p>{escape(facts['purpose'])}</p>",
            _about(facts),
            _blocks(facts),
            "<h3>Stages over time</h3>",
            timeline([*_spans(look, events, now)], start, width),
            "<h3>Decisions by effect</h3>",
            bars(counted),
            legend(counted.effects),
            _axis(start, now),
            *_judged(facts, moves),
            "<h3>The plan</h3>",
            _stages(facts["stages"]),
            "<h3>Transitions</h3>",
            _events(events),
            "</section>",
        )
    )


def _judged(facts: Facts, moves: list[Facts]) -> Iterator[str]:
    """Yield the gates as they stand, or as they stood when the rollout fell."""
    last = moves[-1] if moves else {"gates": [], "recentGates": []}
    if facts["gates"] or not last["gates"]:
        yield "<h3>Gates of this stage</h3>"
        yield _gates(facts["gates"])
        return
    yield f"<h3>Gates at the last transition: {escape(last['verb'])}</h3>"
    yield _gates(last["gates"])
    yield "<h3>The latest past alone</h3>"
    yield _gates(last["recentGates"])


def _spans(
    look: Look, events: list[Facts], now: int
) -> Iterator[tuple[str, int, int, int]]:
    """Yield each stage that held: name, rung of the ladder, from when until when."""
    modes = {stage.name: int(stage.mode) for stage in look.plan.stages}
    moves = [
        one
        for one in events
        if one["result"] == "applied" and one["verb"] in MOVES and one["to"]
    ]
    ends = [*(one["settledUs"] or one["atUs"] for one in moves[1:]), now]
    for one, end in zip(moves, ends, strict=True):
        rung = modes.get(one["to"], int(look.situation.safest))
        yield one["to"], rung, one["settledUs"] or one["atUs"], end


MOVES = frozenset({"advance", "demote", "rollback", "abort"})
TONES = {
    "ready": "good",
    "done": "good",
    "proving": "calm",
    "not begun": "calm",
    "held": "warn",
    "unsettled": "warn",
}


def _tone(word: str) -> str:
    return TONES.get(word, "bad")


def _about(facts: Facts) -> str:
    entered = "" if facts["enteredUs"] is None else _moment(facts["enteredUs"])
    pairs = {
        "Stage": f"{facts['stage'] or 'none'} {f'since {entered}' if entered else ''}",
        "Workflow": facts["workflow"],
        "Tools": ", ".join(facts["tools"]),
        "Owner": facts["owner"],
        "Flag": facts["flagVersion"] or facts["flag"],
        "Decisions in stage": str(facts["samples"]),
        "Next stage": facts["next"] or "none",
        "Signed off by": " or ".join(facts["signers"]) or "nobody: by itself",
        "Review by": facts["reviewDate"],
        "Clean up when": facts["cleanUpCondition"],
    }
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in pairs.items()
    )
    return f"<dl>{rows}</dl>"


def _blocks(facts: Facts) -> str:
    lines = "".join(
        f"<li><b>{escape(one['why'])}</b> {escape(one['text'])}</li>"
        for one in facts["blocks"]
    )
    due = facts["due"]
    if due:
        told = f"{due['verb']} {due['to']}: {due['reason']}"
        lines = f"<li class=bad><b>due now</b> {escape(told)}</li>{lines}"
    return f"<ul class=blocks>{lines}</ul>" if lines else ""


def _gates(gates: list[Facts]) -> str:
    if not gates:
        return "<p class=dim>Nothing was judged: no stage holds.</p>"
    rows = "".join(
        f"<tr><td>{escape(one['metric'])}</td><td>{escape(one['kind'])}</td>"
        f"<td>{gauge(one)}</td><td class=num>{one['samples']}</td>"
        f"<td class=num>{'' if one['missing'] is None else one['missing']}</td>"
        f"<td><span class='tag {ANSWERS[one['answer']]}'>{one['answer']}</span></td>"
        f"<td>{escape(one['sentence'])}</td></tr>"
        for one in gates
    )
    return _table(
        ("Gate", "Kind", "Value, bound, target", "N", "Missing", "", "In words"), rows
    )


ANSWERS = {"pass": "good", "hold": "warn", "fail": "bad"}


def _stages(stages: list[Facts]) -> str:
    rows = "".join(
        f"<tr class={one['state']}><td>{escape(one['name'])}</td>"
        f"<td><span class='mode m{int(MODES[one['mode']])}'>{one['mode']}</span></td>"
        f"<td>{escape(one['audience'])}</td>"
        f"<td>{escape('; '.join(one['serves']))}</td>"
        f"<td>{escape(one['override'] or '')}</td></tr>"
        for one in stages
    )
    names = (
        "Stage",
        "Mode",
        "Audience",
        "The flag then serves",
        "Skips a rung because",
    )
    return _table(names, rows)


def _events(events: list[Facts]) -> str:
    rows = "".join(
        f"<tr><td class=num>{_moment(one['atUs'])}</td><td>{escape(one['verb'])}</td>"
        f"<td>{escape(one['from'] or '')} → {escape(one['to'])}</td>"
        f"<td>{escape(one['actor'])}</td><td>{escape(one['result'])}</td>"
        f"<td>{escape(one['reason'])}{_because(one)}</td>"
        f"<td><code>{escape((one['evidenceDigest'] or '')[:16])}</code></td></tr>"
        for one in reversed(events)
    )
    names = ("Time (UTC)", "What", "From → to", "Who", "Result", "Why", "Evidence")
    return _table(names, rows)


def _because(one: Facts) -> str:
    said = [gate["sentence"] for gate in one["gates"]]
    if one["override"]:
        said.append(f"overridden: {'; '.join(one['waived'])}")
    return "".join(f"<br><small>{escape(text)}</small>" for text in said)


def _table(names: Iterable[str], rows: str) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return f"<div class=wide><table><tr>{head}</tr>{rows}</table></div>"


def _axis(start: int, end: int) -> str:
    return f"<p class=axis><span>{_moment(start)}</span><span>{_moment(end)}</span></p>"


def _moment(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
